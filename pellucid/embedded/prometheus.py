"""Prometheus beside an embedded system, where it is installed: `pellucid up --observe`."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from pellucid.embedded.errors import MissingPrerequisite

RULES: Final = Path(__file__).parents[2] / "deploy" / "alerts" / "pellucid.rules.yaml"
_KEPT: Final = "2d"


def prometheus_command(
    address: str, folder: Path, targets: Mapping[str, str], every_s: int = 5
) -> tuple[str, ...]:
    """Write a configuration, and say what to run.

    Args:
        address: `host:port` to listen on.
        folder: for the configuration and the data, which is kept for two days.
        targets: `host:port` of each service's metrics, by its name.
        every_s: seconds between two readings of them.

    Raises:
        MissingPrerequisite: there is no Prometheus.
    """
    binary = shutil.which("prometheus")
    if binary is None:
        raise MissingPrerequisite(
            "there is no prometheus, which --observe starts; on Debian or Ubuntu "
            "`apt install prometheus` brings it, https://prometheus.io/download/ elsewhere"
        )
    config: dict[str, Any] = {
        "global": {"scrape_interval": f"{every_s}s", "evaluation_interval": "15s"},
        "rule_files": [str(RULES)] if RULES.is_file() else [],
        "scrape_configs": [
            {"job_name": name, "static_configs": [{"targets": [target]}]}
            for name, target in targets.items()
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return (
        binary,
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.time={_KEPT}",
        f"--web.listen-address={address}",
    )
