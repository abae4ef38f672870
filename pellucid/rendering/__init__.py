"""Pictures of maps: overlays as PNG, one page as HTML, and the raw numbers as NPZ."""

from pellucid.rendering.archive import write_archive
from pellucid.rendering.files import Written, write_result
from pellucid.rendering.overlay import overlay_png
from pellucid.rendering.page import page_html

__all__ = ["Written", "overlay_png", "page_html", "write_archive", "write_result"]
