"""`pinprick attack` as a user runs it: in a process of its own, on a model file and a folder of PNGs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pinprick.cli.app import app
from pinprick.cli.main import main
from pinprick.errors import InputError
from tests.cli.conftest import pinprick

MODULE = [sys.executable, "-m", "pinprick"]
SMALL = ("--data", "images", "--limit", "6", "--budget", "450")
ROW = {
    "attack",
    "pixels",
    "goal",
    "n",
    "failed",
    "successes",
    "success_rate",
    "interval",
    "mean_queries",
    "median_queries",
    "mean_queries_to_success",
    "confidence",
}


def test_json_is_one_object_on_stdout_and_everything_else_is_on_stderr(user: Path) -> None:
    done = pinprick("attack", "--model", "model.py:probabilities", *SMALL, "--pixels", "1,3", "--json", cwd=user)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {"images", "attacked", "clean_accuracy", "seconds", "stopped", "ledger", "rows"}
    assert found["stopped"] is None
    assert [(row["attack"], row["pixels"]) for row in found["rows"]] == [
        ("few-pixel", 1),
        ("few-pixel", 3),
        ("random", 1),
        ("random", 3),
    ]
    for row in found["rows"]:
        assert set(row) == ROW
        assert row["goal"] == "untargeted"
        assert row["n"] == 6
        low, high = row["interval"]
        assert 0 <= low <= row["success_rate"] == row["successes"] / 6 <= high <= 1
        assert (row["confidence"] is None) == (row["successes"] == 0)
    assert found["attacked"] == 6 <= found["images"]
    assert found["clean_accuracy"] == 6 / found["images"]
    assert "loading my model" in done.stderr
    assert "asked for 64" in done.stderr
    assert "outputs of probabilities: probabilities" in done.stderr


def test_the_same_command_prints_the_same_figures_and_continues(user: Path, tmp_path: Path) -> None:
    command = ("attack", "--model", "model.py:net", *SMALL, "--out", str(tmp_path / "run"), "--json")
    first = pinprick(*command, cwd=user)
    again = pinprick(*command, cwd=user)
    assert first.returncode == again.returncode == 0, first.stderr + again.stderr
    assert json.loads(first.stdout)["rows"] == json.loads(again.stdout)["rows"]
    assert "12 of 12 units are stored already" in again.stderr


@pytest.mark.parametrize(
    ("attack", "moments"),
    [
        pytest.param("one-pixel", (0.4,), id="once"),
        pytest.param("sweep", (0.4,), id="sweep"),
        pytest.param(
            "one-pixel", (0.1, 0.8, 0.4, 1.3, 0.2, 0.6, 1.0, 0.3, 1.7, 0.5), id="ten-times", marks=pytest.mark.slow
        ),
    ],
)
def test_killed_at_any_moment_and_started_again_it_ends_with_the_same_bytes(
    user: Path, tmp_path: Path, attack: str, moments: tuple[float, ...]
) -> None:
    # Small parts, so that kills come between them too.
    code = "import pinprick.runs.store as store; store.FLUSH_SECONDS = 0.05;from pinprick.cli.main import main; main()"
    units = str(6 + 2 * len(moments))
    command = [sys.executable, "-c", code, "attack", "--model", "model.py:slow", "--data", "images"]
    command += ["--attack", attack, "--limit", units, "--budget", "450", "--out"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, str(whole)], cwd=user, check=True, capture_output=True)
    kills = 0
    for extra in moments:
        process = subprocess.Popen(
            [*command, str(killed)], cwd=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        started = time.monotonic()
        before = len(list(killed.glob("parts/*.parquet")))
        while process.poll() is None and len(list(killed.glob("parts/*.parquet"))) == before:
            time.sleep(0.02)
            assert time.monotonic() - started < 100
        time.sleep(extra / len(moments))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills >= 1
    last = subprocess.run([*command, str(killed)], cwd=user, check=True, capture_output=True)
    assert b"are stored already" in last.stderr
    assert (killed / "outcomes.parquet").read_bytes() == (whole / "outcomes.parquet").read_bytes()


def test_ctrl_c_stores_what_has_ended_says_how_to_go_on_and_exits_130(user: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [*MODULE, "attack", "--model", "model.py:slow", "--data", "images", "--attack", "one-pixel"]
    process = subprocess.Popen(
        [*command, "--limit", "30", "--out", str(out)],
        cwd=user,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    started = time.monotonic()
    while not (out / "manifest.json").exists():
        time.sleep(0.05)
        assert time.monotonic() - started < 100
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert "the same command continues" in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "model.py:raising"), "ValueError: where are my weights? (model.py, line"),
        (("--model", "model.py:nothing"), "it returned a dict"),
        (("--model", "model.py:nett"), "Did you mean net?"),
        (("--model", "model.py:not_a_function"), "is a int, not a function"),
        (("--model", "model.py:leaving"), "calling it raised SystemExit: bye"),
        (("--model", ":net"), "nothing on one side of the colon"),
        (("--model", "model.py"), "no function named"),
        (("--model", "model.py:net", "--save-images"), "no --out"),
        (("--model", "model.py:net", "--out", "images"), "holds other files"),
        (("--model", "missing.py:net"), "there is no file missing.py"),
        (("--model", "no_such_package.module:net"), "No module named 'no_such_package'"),
        (("--model", "weights.pt"), "there is no file 'weights.pt'"),
        (("--model", "alconv-cifar10"), "alconv-cifar10"),
        (("--model", "lenet:none.safetensors"), "no such file"),
        (("--model", "model.py:net", "--data", "nowhere"), "nowhere"),
        (("--model", "model.py:net", "--pixels", "65"), "64 pixels"),
        (("--model", "model.py:net", "--attack", "one-pixel", "--budget", "400"), "401 or more"),
        (("--model", "model.py:net", "--device", "tpu9"), "--device"),
        (("--model", "model.py:probabilities", "--normalize", "cifar10"), "Normalise inside the function"),
        (("--model", "model.py:net", "--normalize", "cifar"), "cifar10"),
        (("--data", "images"), "--model: it is missing"),
        (("--model", "model.py:net", "--image", "images/0/10.png", "--data", "images"), "--data is given too"),
        (("--model", "model.py:net", "--first", "3", "--limit", "3"), "both are given"),
        (("--model", "model.py:net", "--targets", "random"), "--targets random: the goal is untargeted"),
        (("--model", "model.py:net", "--plan", "--pixels", "65"), "--pixels: 65 of images with 64 pixels"),
        (("--model", "model.py:net", "--out", ""), "--out: '' is no path"),
    ],
)
def test_bad_input_is_an_error_that_names_it(
    user: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(user)
    whole = ["attack", *arguments]
    if "--data" not in arguments:
        whole += ["--data", "images"]
    result = CliRunner().invoke(app, whole)
    assert isinstance(result.exception, InputError), (result.exception, result.output)
    assert message in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pixels", ""), "--pixels: ''"),
        (("--pixels", "1,,3"), "--pixels: '1,,3'"),
        (("--pixels", "1.5"), "--pixels: '1.5'"),
        (("--pixels", "0"), "--pixels: 0"),
        (("--pixels", "-1"), "--pixels: -1"),
        (("--pixels", "9" * 30), "--pixels: '9999"),
        (("--goal", "foo"), "--goal: there is no 'foo'"),
        (("--stop", "foo"), "--stop: there is no 'foo'"),
        (("--attack", "onepixel"), "--attack: there is no 'onepixel'. Did you mean one-pixel"),
        (("--limit", "0"), "--limit: 0"),
        (("--limit", "1.5"), "Invalid value for '--limit'"),
        (("--limit", "9" * 30), "--limit: 9999"),
        (("--budget", "9" * 30), "--budget: 9999"),
        (("--budget", "9" * 5000), "'--budget'"),
        (("--seed", "9" * 30), "--seed: 9999"),
        (("--seed", "-1"), "--seed: -1"),
        (("--batch-size", "9" * 30), "--batch-size: 9999"),
        (("--batch-size", "0"), "--batch-size: 0"),
        (("--limit",), "'--limit' requires an argument"),
        (("--lmit", "3"), "No such option: --lmit"),
        (("--spec", "nowhere.toml"), "--spec nowhere.toml: no such file"),
        (("more",), "unexpected extra argument(s) (more)"),
        ((), "--model: it is missing"),
    ],
)
def test_a_mistake_on_the_command_line_exits_2_and_names_the_option(
    arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    model = ("--model", "cnn-digits") if arguments else ()
    monkeypatch.setattr(sys, "argv", ["pinprick", "attack", "--data", "digits", *model, *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capfd.readouterr()
    assert (ended.value.code, out) == (2, "")
    # Typer draws a box around its own messages and breaks lines in it.
    assert message in " ".join(err.replace("│", " ").split())


def test_a_single_image_may_not_be_a_folder(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(user)
    result = CliRunner().invoke(app, ["attack", "--model", "model.py:net", "--image", "images"])
    assert isinstance(result.exception, InputError)
    assert "--image images: it is a folder. Give --data images" in str(result.exception)


def test_an_error_is_one_line_on_stderr_and_exit_code_2(user: Path) -> None:
    done = pinprick("attack", "--model", "model.py:raising", "--data", "images", cwd=user)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("error: --model model.py:raising: calling it raised ValueError")
    assert "Traceback" not in done.stderr
    assert pinprick("attack", "--pixels", cwd=user).returncode == 2


def test_a_plan_counts_and_runs_nothing(user: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(user)
    command = ["attack", "--model", "model.py:net", "--data", "images", "--pixels", "1,3", "--goal", "targeted"]
    result = CliRunner().invoke(app, [*command, "--limit", "7", "--out", str(tmp_path / "run"), "--plan", "--json"])
    figures = json.loads(result.stdout)
    assert figures["units"] == 7 * 9 * 2 * 2
    assert figures["questions"] == figures["units"] // 2 * (1001 + 2001)
    assert figures["seconds"] > 0
    assert not (tmp_path / "run").exists()


def test_a_plan_for_a_model_of_single_images_says_so(
    user: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "single.py").write_text(
        "import torch\n"
        "def net():\n"
        "    def score(images):\n"
        "        if len(images) != 1:\n"
        "            raise RuntimeError('made for a batch of 1')\n"
        "        return images.flatten(1)[:, :10] * 3 - 1\n"
        "    return score\n"
    )
    monkeypatch.chdir(tmp_path)
    command = ["attack", "--model", "single.py:net", "--data", str(user / "images"), "--plan", "--json"]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, InputError)
    assert "works on single images. Give --batch-size 1." in str(result.exception)
    result = CliRunner().invoke(app, [*command, "--batch-size", "1"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["seconds"] > 0


def test_one_image_and_predicted_labels(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(user)
    image = sorted((user / "images").rglob("*.png"))[0]
    result = CliRunner().invoke(
        app, ["attack", "--model", "model.py:net", "--image", str(image), "--budget", "450", "--json"]
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["images"], found["attacked"], found["rows"][0]["n"]) == (1, 1, 1)


def test_toml_and_the_command_line_which_wins(user: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(user)
    spec = tmp_path / "run.toml"
    spec.write_text(
        'model = "model.py:net"\ndata = "images"\nlimit = 9\nbudget = 450\nbaseline = "none"\n'
        "pixels = [1, 3]\nseed = 5\nsave-images = true\n"
    )
    result = CliRunner().invoke(
        app,
        [
            "attack",
            "--spec",
            str(spec),
            "--limit",
            "2",
            "--seed",
            "0",
            "--no-save-images",
            "--out",
            str(tmp_path / "run"),
            "--json",
        ],
    )
    assert result.exit_code == 0, result.output
    assert [(row["pixels"], row["n"]) for row in json.loads(result.stdout)["rows"]] == [(1, 2), (3, 2)]
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["given"]["seed"] == 0
    assert not (tmp_path / "run" / "images").exists()


def test_the_command_line_wins_over_what_stands_in_its_place(
    user: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(user)
    image = sorted((user / "images").rglob("*.png"))[0]
    spec = tmp_path / "run.toml"
    common = 'model = "model.py:net"\nbudget = 450\nbaseline = "none"\n'

    def attacked(fields: str, *options: str) -> tuple[int, int]:
        spec.write_text(common + fields)
        result = CliRunner().invoke(app, ["attack", "--spec", str(spec), *options, "--json"])
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        return found["images"], found["rows"][0]["n"]

    assert attacked(f'image = "{image}"\n') == (1, 1)
    assert attacked('data = "images"\nlabels = "given"\n', "--image", str(image)) == (1, 1)
    assert attacked('data = "images"\nlimit = 9\n', "--first", "2")[1] == 2
    assert attacked('data = "images"\nfirst = 9\n', "--limit", "2")[1] == 2
    assert attacked(f'image = "{image}"\nlimit = 2\n', "--data", "images")[1] == 2


def test_failed_units_make_exit_code_3(user: Path, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        "import torch\ncalls = 0\n"
        "def touchy():\n"
        "    def score(images):\n"
        "        scores = images.flatten(1)[:, :10] * 3 - 1\n"
        "        scores[(images[:, 0, 7, 7] > 0.9)] = float('nan')\n"
        "        return scores\n"
        "    return score\n"
    )
    done = pinprick(
        "attack", "--model", "model.py:touchy", "--data", str(user / "images"), "--labels", "predicted",
        "--limit", "3", "--budget", "450", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert sum(row["failed"] for row in json.loads(done.stdout)["rows"]) > 0


def test_parameters_of_the_attack_from_the_command_line_and_a_file(
    user: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(user)
    (tmp_path / "run.toml").write_text(
        'model = "model.py:net"\ndata = "images"\nattack = "one-pixel"\nlimit = 1\nbudget = 60\n'
        "[parameters]\npopulation = 40\ntarget-above = 0.8\n"
    )
    command = ["attack", "--spec", str(tmp_path / "run.toml"), "--baseline", "none", "--json"]
    result = CliRunner().invoke(
        app, [*command, "--out", str(tmp_path / "run"), "--set", "population=50", "--set", "weight=0.7"]
    )
    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    own = manifest["what"]["attacks"]["one-pixel"]
    assert (own["population"], own["weight"], own["target_above"]) == (50, 0.7, 0.8)
    wrong = CliRunner().invoke(app, [*command, "--set", "populaton=50"])
    assert isinstance(wrong.exception, InputError)
    assert "Did you mean population?" in str(wrong.exception)


def test_a_command_begins_without_libraries_that_only_some_inputs_need() -> None:
    late = ("sklearn", "onnxruntime", "plotly", "httpx", "tritonclient", "jinja2")
    code = f"import sys, pinprick.cli.attacking; print([name for name in {late} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True)
    assert done.stdout.strip() == "[]"
