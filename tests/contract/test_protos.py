"""The contracts keep their rules, and the generated code is what they say."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUF = Path(sys.executable).parent / "buf"


def lint(*arguments: str) -> str:
    finished = subprocess.run(
        [BUF, "lint", *arguments], cwd=ROOT / "protos", capture_output=True, text=True
    )
    return finished.stdout + finished.stderr


def test_the_contracts_follow_bufs_standard_rules() -> None:
    assert lint() == ""


def test_every_service_call_message_and_enum_is_described() -> None:
    rules = [f"COMMENT_{kind}" for kind in ("SERVICE", "RPC", "MESSAGE", "ENUM")]
    assert lint("--config", json.dumps({"version": "v2", "lint": {"use": rules}})) == ""


def test_the_generated_code_matches_the_contracts() -> None:
    command = [sys.executable, str(ROOT / "protos" / "generate.py"), "--check"]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (0, "")
