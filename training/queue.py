"""`python -m training.queue RECIPE...`: train one after another; finished ones are left alone.

While the file that `--pause` names exists, the training stands still, so that others can measure.
"""

import argparse
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from training.places import Places

POLL_S = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Train all recipes; one that fails does not keep the others.

    Returns:
        How many failed.
    """
    parser = argparse.ArgumentParser(prog="python -m training.queue", description=__doc__)
    parser.add_argument("recipes", type=Path, nargs="+")
    parser.add_argument("--pause", type=Path, default=Path("/tmp/pause_training"))
    Places.add_options(parser, "data", "runs", "repository", "tensorboard")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    # The training ends with the queue.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    failed = []
    for recipe in options.recipes:
        logging.info("training %s", recipe)
        if code := train_apart(recipe, Places.of(options).options, options.pause):
            logging.error("%s ended with %d", recipe, code)
            failed.append(recipe)
    return len(failed)


def train_apart(recipe: Path, options: list[str], pause: Path) -> int:
    """Train one recipe in a process of its own; it stands still while `pause` exists.

    Returns:
        The process's exit status.
    """
    process = subprocess.Popen([sys.executable, "-m", "pellucid", "train", str(recipe), *options])
    paused = False
    try:
        while (code := process.poll()) is None:
            if pause.exists() != paused:
                paused = not paused
                process.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)
            time.sleep(POLL_S)
    finally:
        if process.poll() is None:
            process.kill()
    return code


if __name__ == "__main__":
    sys.exit(main())
