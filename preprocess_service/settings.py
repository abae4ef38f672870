"""Settings of the preprocess service."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from pellucid.serving.settings import ServiceSettings


class PreprocessSettings(ServiceSettings):
    """Read once when the service starts; `PELLUCID_PREPROCESS_<FIELD>` overrides each one."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="PELLUCID_PREPROCESS_")

    max_content_bytes: int = Field(default=32 << 20, ge=1)
    """Bytes of a file; like `max_tensor_bytes` below `max_message_bytes`, so that ours is the limit
    that a caller meets."""
    max_pixels: int = Field(default=1 << 26, ge=1)
    """Width times height of a picture, read from its header before it is decoded."""
    max_audio_seconds: float = Field(default=300.0, gt=0)
    """Length of a recording."""
    max_audio_samples: int = Field(default=1 << 26, ge=1)
    """Samples of all channels together: bounds what a few bytes of silence unpack to."""
    max_inflated_bytes: int = Field(default=256 << 20, ge=1)
    """Size of a deflated DICOM data set once it is inflated."""
    max_tensor_bytes: int = Field(default=80 << 20, ge=1)
    """Tensors of one answer together."""
    max_windows: int = Field(default=512, ge=1)
    """Windows of a recording: each is drawn and described, however small its tensor is."""
    workers: int = Field(default=2, ge=1)
    """Files that are decoded at once, each in its own process."""
    max_waiting: int = Field(default=32, ge=0)
    """Files that wait for a worker; one more is answered QUEUE_FULL."""
    decode_timeout_s: float = Field(default=15.0, gt=0)
    """Time to decode one file; a worker that takes longer is killed."""
    decode_memory_bytes: int = Field(default=3 << 29, ge=1 << 26)
    """Memory that decoding one file may take, beside what a worker holds anyway."""
