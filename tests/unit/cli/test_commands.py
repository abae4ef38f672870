"""The command as it is typed: what is printed, what is written, and the exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from typer.testing import CliRunner, Result

from pellucid.cli import app
from pellucid.errors import (
    DeadlineTooShort,
    IndexUnavailable,
    MethodUnavailable,
    ModelNotReady,
    OutOfDistribution,
    PellucidError,
    QueueFull,
    QuotaExceeded,
    UnknownModel,
    UnreadableMedia,
)
from tests.support.fake_gateway import FakeGateway, serving
from tests.support.gateway_responses import failed_model, picture, png


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture(autouse=True)
def folder(gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "film.png").write_bytes(png(picture(260, 320)))
    (tmp_path / "clip.wav").write_bytes(b"RIFF....WAVE")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    with serving(gateway) as url:
        monkeypatch.setenv("PELLUCID_URL", url)
        yield tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_capabilities_are_a_table() -> None:
    done = run("capabilities")
    assert done.exit_code == 0
    assert "not available: the card names no layer" in done.stdout
    assert "samples (500, 10 to 10000 samples)" in done.stdout
    assert "completeness gap" in done.stdout


def test_a_model_that_is_not_ready_says_why(gateway: FakeGateway) -> None:
    gateway.models.append(failed_model("broken"))
    assert "broken failed: its card has no labels" in run("capabilities").stdout


def test_a_file_is_classified() -> None:
    done = run("classify", "clip.wav")
    assert done.exit_code == 0
    assert "0.9400" in done.stdout
    assert "0.8750" in done.stdout
    assert "threshold (balanced)" in done.stdout
    assert "2.00 to 4.00" in done.stdout


def test_a_classification_is_judged_at_the_operating_point_that_was_asked_for(
    gateway: FakeGateway,
) -> None:
    assert run("classify", "film.png", "--operating-point", "lax").exit_code == 0
    assert gateway.requests[-1].operating_point == "lax"


def test_a_file_unlike_the_training_data_comes_with_a_warning() -> None:
    assert "is unlike what speech was trained on" in run("classify", "clip.wav").stdout
    assert "unlike" not in run("classify", "film.png").stdout


def test_a_refusal_of_unlike_files_reaches_the_server(gateway: FakeGateway) -> None:
    gateway.errors.append(OutOfDistribution("unlike", field="content"))
    assert run("classify", "clip.wav", "--model", "speech", "--refuse-unlike").exit_code == 3
    assert gateway.requests[-1].refuse_out_of_distribution


@pytest.mark.parametrize(
    "arguments",
    [
        ("capabilities",),
        ("classify", "film.png"),
        ("similar", "film.png"),
        ("plan", "film.png"),
        ("explain", "film.png", "--methods", "lime"),
    ],
)
def test_json_is_all_that_standard_output_gets(arguments: tuple[str, ...]) -> None:
    done = run(*arguments, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)


def test_similar_cases_are_a_table_and_their_pictures_are_written_where_asked(
    gateway: FakeGateway, folder: Path
) -> None:
    done = run("similar", "film.png", "--count", "3", "--window", "2", "--thumbnails", "like")
    assert done.exit_code == 0
    assert (gateway.requests[-1].count, gateway.requests[-1].window) == (3, 2)
    assert "nearest of 1,200 cases" in done.stdout
    assert "case_2.png" in done.stdout and "2.5" in done.stdout
    assert sorted(path.name for path in (folder / "like").iterdir()) == ["002.png", "003.png"]


def test_a_model_without_an_index_ends_with_the_code_for_what_is_not_there(
    gateway: FakeGateway,
) -> None:
    gateway.errors.append(IndexUnavailable("no index", remedy="make one"))
    done = run("similar", "film.png", "--model", "xray")
    assert done.exit_code == 4
    assert "make one" in done.stderr


def test_a_plan_needs_a_file_or_a_model() -> None:
    assert run("plan").exit_code == 2
    done = run("plan", "--model", "xray", "--methods", "lime,occlusion")
    assert done.exit_code == 0
    assert "together" in done.stdout


def test_an_explanation_is_shown_and_written(folder: Path) -> None:
    done = run("explain", "film.png", "--methods", "lime,occlusion", "--out", "maps")
    assert done.exit_code == 0
    assert "R² 0.62 fair" in done.stdout
    names = sorted(path.name for path in (folder / "maps").iterdir())
    assert names == ["film.html", "film.lime.other.png", "film.npz", "film.occlusion.other.png"]


def test_files_are_left_out_when_asked(folder: Path) -> None:
    assert run("explain", "film.png", "--methods", "lime", "--no-files").exit_code == 0
    assert not (folder / "out").exists()


def test_options_reach_the_server(gateway: FakeGateway) -> None:
    done = run(
        *("explain", "clip.wav", "--no-files", "--methods", "lime,grad_cam"),
        *("--param", "lime.samples=20", "--param", "grad_cam.positive_only=false"),
        *("--target", "top:2", "--target", "#1", "--target", "label:threshold"),
        *("--target", "threshold", "--segments", "grid:4x16", "--score-space", "probability"),
        *("--baseline", "silence", "--seed", "7", "--window", "1", "--deadline", "9"),
        *("--operating-point", "lax"),
    )
    assert done.exit_code == 0
    request = gateway.requests[-1]
    assert request.methods[0].lime.samples == 20
    assert request.methods[1].grad_cam.positive_only is False
    kinds = [target.WhichOneof("target") for target in request.options.targets]
    assert kinds == ["top_k", "index", "label", "above_threshold"]
    assert request.options.targets[2].label == "threshold"
    assert request.options.segmentation.grid.columns == 16
    assert request.options.seed == 7
    assert request.window == 1
    assert request.operating_point == "lax"
    assert gateway.timeouts[-1] is not None
    assert gateway.timeouts[-1] < 10


def test_all_leaves_the_choice_to_the_server(gateway: FakeGateway) -> None:
    assert run("explain", "film.png", "--no-files").exit_code == 0
    assert not gateway.requests[-1].methods


def test_all_with_a_parameter_stands_for_what_is_available(gateway: FakeGateway) -> None:
    assert run("explain", "film.png", "--no-files", "--param", "lime.samples=20").exit_code == 0
    methods = [method.WhichOneof("method") for method in gateway.requests[-1].methods]
    assert "lime" in methods
    assert "grad_cam" not in methods
    assert gateway.requests[-1].methods[0].lime.samples == 20


def test_a_method_that_failed_is_named_and_decides_the_exit_code(
    folder: Path, gateway: FakeGateway
) -> None:
    gateway.failing = frozenset({"lime"})
    done = run("explain", "film.png", "--methods", "lime,occlusion", "--out", "maps")
    assert done.exit_code == 5
    assert "failed lime: Triton does not answer; try again shortly" in done.stdout
    assert (folder / "maps" / "film.occlusion.other.png").is_file()
    done = run("explain", "film.png", "--methods", "lime,occlusion", "--no-files", "--json")
    assert json.loads(done.stdout)["failures"][0]["method"] == "lime"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--methods", "nope"),
        ("--methods", "lime", "--param", "lime.nope=3"),
        ("--methods", "lime", "--param", "lime.samples=many"),
        ("--methods", "lime", "--param", "occlusion.stride=1"),
        ("--methods", "lime", "--param", "nonsense"),
        ("--target", "top:many"),
        ("--segments", "hexagons"),
        ("--segments", "grid:8x8x8"),
        ("--segments", "grid:8xmany"),
        ("--segments", "slic:nope=1"),
        ("--cert", "film.png"),
    ],
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    assert run("explain", "film.png", *arguments).exit_code == 2
    assert run("explain", "missing.png").exit_code == 2


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (UnreadableMedia("cut off", field="content", remedy="send all of it"), 3),
        (UnknownModel("no such model", field="model"), 4),
        (MethodUnavailable("no gradient copy", field="methods[0]"), 4),
        (ModelNotReady("loading"), 5),
        (QueueFull("full"), 5),
        (QuotaExceeded("too often"), 5),
        (DeadlineTooShort("too short"), 6),
        (grpc.StatusCode.INTERNAL, 7),
    ],
)
def test_exit_codes_mean_something(
    gateway: FakeGateway, failure: PellucidError | grpc.StatusCode, code: int
) -> None:
    # Unary calls are made again while a model is not ready.
    gateway.errors += [failure] * 4
    done = run("classify", "film.png", "--model", "xray", "--json")
    assert done.exit_code == code
    assert json.loads(done.stdout)["error"]["exit_code"] == code
    assert "error:" in done.stderr


def test_where_no_server_runs_the_way_to_start_one_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PELLUCID_URL")
    done = run("capabilities")
    assert done.exit_code == 5
    assert "pellucid up" in done.stderr


def test_the_system_that_runs_here_is_found(
    folder: Path, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = [{"name": "gateway", "url": os.environ["PELLUCID_URL"]}]
    record = {"pid": os.getpid(), "services": services}
    monkeypatch.delenv("PELLUCID_URL")
    (folder / ".pellucid").mkdir()
    (folder / ".pellucid" / "state.json").write_text(json.dumps(record))
    assert run("capabilities").exit_code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--plaintext"),
        (("--plaintext", "--tls"), "exclude"),
    ],
)
def test_another_machine_needs_a_word_on_encryption(options: tuple[str, ...], words: str) -> None:
    done = run("capabilities", "--url", "gateway.invalid:50050", *options)
    assert done.exit_code == 2
    assert words in done.stderr


def test_plaintext_to_another_machine_is_used_when_asked_for() -> None:
    done = run("capabilities", "--url", "gateway.invalid:1", "--plaintext", "--deadline", "2")
    assert done.exit_code in (5, 6)


def test_a_system_that_runs_here_needs_no_word_on_encryption_at_any_address(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {"pid": os.getpid(), "services": [{"name": "gateway", "url": "here.invalid:1"}]}
    monkeypatch.delenv("PELLUCID_URL")
    (folder / ".pellucid").mkdir()
    (folder / ".pellucid" / "state.json").write_text(json.dumps(record))
    assert run("capabilities", "--deadline", "2").exit_code in (5, 6)


def test_nothing_runs_is_said_by_status_and_down() -> None:
    assert run("status").exit_code == 5
    assert run("down").exit_code == 0
    assert run("logs").exit_code == 5


def test_help_does_not_load_what_it_does_not_need() -> None:
    heavy = ["numpy", "grpc", "matplotlib", "torch", "jinja2"]
    code = f"import pellucid.cli, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_came_before_a_failure_is_kept(folder: Path, gateway: FakeGateway) -> None:
    gateway.endless = True
    done = run("explain", "film.png", "--methods", "lime", "--deadline", "3", "--out", "maps")
    assert done.exit_code == 6
    assert "R² 0.62" in done.stdout
    assert "The explanation ended early" in (folder / "maps" / "film.html").read_text()


def test_partial_maps_are_kept_when_the_stream_breaks(folder: Path, gateway: FakeGateway) -> None:
    gateway.breaks_after["lime"] = grpc.StatusCode.UNAVAILABLE
    done = run("explain", "film.png", "--methods", "lime", "--out", "maps")
    assert done.exit_code == 5
    assert "lime (unfinished)" in done.stdout
    assert (folder / "maps" / "film.lime.other.png").is_file()
