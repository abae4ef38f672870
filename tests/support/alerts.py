"""The rules of Prometheus as `deploy/alerts` has them."""

from typing import Any, Final

import yaml

from pellucid.embedded.prometheus import RULES as FILE

RULES: Final[list[Any]] = [
    rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]
]
RECORDED: Final[dict[str, str]] = {
    rule["record"]: rule["expr"] for rule in RULES if "record" in rule
}
ALERTS: Final = {rule["alert"] for rule in RULES if "alert" in rule}
