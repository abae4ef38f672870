"""Prints the part of `lock.txt` that some extras of `pyproject.toml` need: what an image installs.

    python requirements/subset.py gateway

It needs Python alone. `lock.txt` says of each package what asked for it, and that is followed down
from the extras.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from typing import Final

from lock import APART, LOCK, ROOT, read

PROJECT: Final = ROOT / "pyproject.toml"
_NAME: Final = r"[A-Za-z0-9][\w.-]*"


def main() -> None:
    """Print the requirements of the extras that the command line names."""
    extras = sys.argv[1:]
    if not extras:
        sys.exit("name one extra of pyproject.toml or more")
    try:
        sys.stdout.write(subset(LOCK.read_text(), roots(PROJECT.read_text(), extras)))
    except KeyError as error:
        sys.exit(f"{error.args[0]} is no extra of pyproject.toml and no package of lock.txt")


def roots(project: str, extras: Iterable[str]) -> set[str]:
    """Names of the packages that a project and its extras ask for.

    Args:
        project: content of `pyproject.toml`.
        extras: of it; those that name others of the same project are followed.

    Raises:
        KeyError: there is no such extra.
    """
    facts = tomllib.loads(project)["project"]
    wanted = list(facts["dependencies"])
    open_extras, seen = list(extras), set()
    while open_extras:
        extra = open_extras.pop()
        if extra not in seen:
            seen.add(extra)
            wanted += facts["optional-dependencies"][extra]
        own = rf"{re.escape(facts['name'])}\[([\w,-]+)\]"
        for requirement in [*wanted]:
            if found := re.match(own, requirement):
                wanted.remove(requirement)
                open_extras += found[1].split(",")
    return {_normal(requirement) for requirement in wanted}


def subset(lock: str, names: Iterable[str]) -> str:
    """The entries of a lock for these packages and for all that they need.

    Args:
        lock: as pip-compile writes it, with what each package is there for.
        names: of the packages.

    Raises:
        KeyError: one of them is not locked.
    """
    entries = {_normal(name): text for name, text in read(lock)}
    needed_by = {name: _parents(text) for name, text in entries.items()}
    kept = set(names)
    while more := {
        name for name, parents in needed_by.items() if name not in kept and parents & kept
    }:
        kept |= more
    if missing := kept - set(entries) - APART:
        raise KeyError(", ".join(sorted(missing)))
    return "".join(_without_remarks(entries[name]) for name in sorted(kept & set(entries)))


def _parents(entry: str) -> set[str]:
    remarks = entry.partition("# via")[2].replace("#", " ")
    return {_normal(line) for line in remarks.splitlines() if line.strip()}


def _without_remarks(entry: str) -> str:
    return re.sub(r"^ *#.*\n", "", entry, flags=re.M)


def _normal(requirement: str) -> str:
    """The name in a requirement, as PEP 503 normalises it."""
    found = re.match(_NAME, requirement.strip())
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


if __name__ == "__main__":
    main()
