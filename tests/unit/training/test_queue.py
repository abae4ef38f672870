"""The queue trains one recipe after another, and stands still on demand."""

import threading
import time

import psutil
import pytest

from tests.support.tiny_sets import XRAY_CARD, recipe_of
from training import queue


def test_a_recipe_that_fails_does_not_keep_the_next_from_being_trained(kermany, tmp_path, written):
    good = written(tmp_path / "good.yaml", recipe_of(XRAY_CARD, [{"kind": "kermany"}]))
    bad = tmp_path / "bad.yaml"
    bad.write_text("card: {}\n")
    options = [f"--data={kermany}", f"--runs={tmp_path / 'runs'}", f"--repository={tmp_path}"]
    options += ["--tensorboard", f"--pause={tmp_path / 'pause'}"]
    assert queue.main([str(bad), str(good), *options]) == 1
    assert (tmp_path / "runs/tiny/finished.json").exists()
    assert list((tmp_path / "runs/tiny/tensorboard").rglob("events.*"))


def test_a_training_stands_still_while_the_pause_file_exists(
    kermany, tmp_path, written, monkeypatch
):
    monkeypatch.setattr(queue, "POLL_S", 0.05)
    recipe = recipe_of(XRAY_CARD, [{"kind": "kermany"}])
    options = [f"--data={kermany}", f"--runs={tmp_path / 'runs'}", f"--repository={tmp_path}"]
    path = written(tmp_path / "recipe.yaml", recipe)
    pause = tmp_path / "pause"
    pause.touch()
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(queue.train_apart(path, options, pause)))
    thread.start()
    wait_for(psutil.STATUS_STOPPED)
    pause.unlink()
    thread.join(60)
    assert codes == [0]


def wait_for(status: str) -> None:
    for _ in range(100):
        if any(child.status() == status for child in psutil.Process().children()):
            return
        time.sleep(0.1)
    pytest.fail(f"no child became {status}")
