"""`pinprick targets check`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from typer.testing import CliRunner

from pinprick.cli.app import app

MODEL = """
from torch import nn

def net():
    from pinprick.models.shipped import load_shipped
    inner = load_shipped("cnn-digits")[0]
    class Mean(nn.Module):
        def forward(self, x):
            return x - x.mean(0)
    return nn.Sequential(inner, Mean())
"""


def checked(*arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["targets", "check", *arguments])
    return found.exit_code, found.stdout


def test_it_prints_what_it_found() -> None:
    code, text = checked("cnn-digits", "--data", "digits:test", "--strict")
    assert code == 0
    assert re.search(r"^model +cnn-digits \(TorchTarget, weights [0-9a-f]{32}, dense.*float32\)$", text, re.M)
    assert re.search(r"^images +1 x 8 x 8, as --data has them; 10 classes$", text, re.M)
    assert re.search(r"^outputs +logits \(declared\)$", text, re.M)
    assert re.search(r"^same answers +again the same, in reverse order the same, by themselves ", text, re.M)
    assert re.search(r"^speed +images a second by images a pass: [\d,]+ at 1, .* at 256; best with \d+$", text, re.M)
    assert re.search(
        r"^few-pixel +1 pixel on 100 images: 100,100 questions at most, .* of the model's time$", text, re.M
    )
    assert re.search(r"^accuracy +97\.8% of 500 images \(96\.1% to 98\.8%\)$", text, re.M)
    assert "\nno warnings\n" in text


def test_warnings_change_the_exit_code_only_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    arguments = (f"{path}:net", "--data", "digits:test", "--normalize", "mnist", "--questions", "600")
    code, text = checked(*arguments)
    assert code == 0
    assert re.search(r"^warning: an image (in another order|by itself) gets other scores", text, re.M)
    assert "not checked: " in text
    assert checked(*arguments, "--strict")[0] == 3


def test_json_holds_all_of_it() -> None:
    code, text = checked("cnn-digits", "--json", "--questions", "300")
    found = json.loads(text)
    assert code == 0
    assert found["kind"] == "TorchTarget"
    assert found["shape"] == [1, 8, 8]
    assert found["traps"] == []
    assert found["accuracy"] is None
    assert found["unchecked"]
    assert found["asked"] <= 300
