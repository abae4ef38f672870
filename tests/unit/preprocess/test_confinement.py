"""What workers leave behind: no file, no core, no memory, and no process."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pellucid.errors import UnreadableMedia
from preprocess_service.fork_server import ForkServer
from tests.unit.preprocess.commanded_worker import WRITE
from tests.unit.preprocess.files import (
    dataset,
    dicom,
    image_contract,
    pixels,
    png,
    shared_dicoms,
    smooth_jpeg,
    sound,
    sound_contract,
    tone,
)
from tests.unit.preprocess.workers import (
    is_running,
    read_in,
    running_pool,
    until,
    worker_of,
    workers_of,
)

ROOT = Path(__file__).parents[3]


async def test_a_worker_cannot_write_a_file(commanded_fork_server: ForkServer, tmp_path: Path):
    file = tmp_path / "data"
    async with running_pool(commanded_fork_server) as pool:
        with pytest.raises(UnreadableMedia):  # it died of the attempt
            await read_in(pool, WRITE + bytes(file), image_contract())
    assert file.read_bytes() == b""


async def test_every_kind_of_file_is_read_without_writing_any(fork_server: ForkServer):
    image, audio = image_contract(), sound_contract()
    pictures = [png(pixels()), smooth_jpeg(), dicom(dataset(pixels()))]
    async with running_pool(fork_server) as pool:
        worker = await worker_of(fork_server)
        assert resource.prlimit(worker, resource.RLIMIT_FSIZE) == (0, 0)
        for content in pictures:
            assert (await read_in(pool, content, image)).windows
        for kind in ("WAV", "FLAC", "OGG", "MP3"):
            assert (await read_in(pool, sound(tone(), kind), audio)).windows


@pytest.mark.parametrize("path", shared_dicoms())
async def test_every_real_dicom_file_is_read_in_a_worker(fork_server: ForkServer, path: Path):
    async with running_pool(fork_server) as pool:
        assert (await read_in(pool, path.read_bytes(), image_contract())).windows


async def test_a_worker_leaves_no_core_and_says_nothing(fork_server: ForkServer):
    async with running_pool(fork_server):
        worker = await worker_of(fork_server)
        assert resource.prlimit(worker, resource.RLIMIT_CORE) == (1, 1)
        streams = {os.readlink(f"/proc/{worker}/fd/{number}") for number in (0, 1, 2)}
        assert streams == {os.devnull}


async def test_workers_know_nothing_of_grpc(fork_server: ForkServer):
    async with running_pool(fork_server):
        worker = await worker_of(fork_server)
        assert "grpc" not in Path(f"/proc/{worker}/maps").read_text()


async def test_the_memory_of_a_large_picture_returns(fork_server: ForkServer):
    def resident() -> int:
        return int(Path(f"/proc/{worker}/statm").read_text().split()[1]) * 4096

    large, contract = smooth_jpeg("RGB", (4096, 4096)), image_contract()
    async with running_pool(fork_server) as pool:
        worker = await worker_of(fork_server)
        await read_in(pool, smooth_jpeg(), contract)
        before = resident()
        for _ in range(2):
            await read_in(pool, large, contract)
        assert workers_of(fork_server) == [worker]
        assert resident() - before < 16 << 20


SERVICE = """
import asyncio, sys
from pellucid.errors import UnreadableMedia
from preprocess_service.fork_server import ForkServer
from tests.unit.preprocess.commanded_worker import HANG
from tests.unit.preprocess.files import image_contract
from tests.unit.preprocess.workers import read_in, running_pool, workers_of
async def main():
    with ForkServer("tests.unit.preprocess.commanded_worker") as server:
        async with running_pool(server, workers=2) as pool:
            print(server.pid, *workers_of(server), flush=True)
            await read_in(pool, HANG, image_contract())
asyncio.run(main())
"""


async def test_workers_die_with_the_service_even_while_they_hang():
    service = subprocess.Popen(
        [sys.executable, "-c", SERVICE], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert service.stdout is not None
    with service.stdout:
        line = await asyncio.to_thread(service.stdout.readline)
    family = [int(pid) for pid in line.split()]
    assert len(family) == 3
    service.send_signal(signal.SIGKILL)
    service.wait()
    await until(lambda: not any(is_running(pid) for pid in family))
