"""The report stands alone, shows every trial, and escapes what comes from outside."""

from pathlib import Path

from .fake import SPACE, Broken, make_tuner


def test_the_report_is_one_file_with_pictures_and_every_trial(drawn: None, tmp_path: Path) -> None:
    text = SPACE.replace(
        "training.weight_decay: {low: 0.0, high: 0.1}", "training.precision: {choices: [auto, float32]}"
    )
    result = make_tuner(tmp_path, Broken(noise=0.01), text=text.replace("trials: 20", "trials: 10")).tune()
    page = (tmp_path / "out" / "tuning.html").read_text()
    assert page.count("<svg") == page.count("</svg>") == 3
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    assert "mathdefault" not in page  # of a logarithmic axis
    assert page.count("<tr") == len(result.trials) + 1
    assert page.count("The loss is nan in step 3") == result.count("failed") > 0
    assert "the configuration as it was" in page
    best = (tmp_path / "out" / "best.yaml").read_text()
    assert best.strip() in page


def test_what_comes_from_outside_is_escaped(drawn: None, tmp_path: Path) -> None:
    space = SPACE.replace("trials: 20", "trials: 1")
    tuner = make_tuner(tmp_path, Broken(), text=space)
    tuner.space.base.data.train = Path("<b>evil</b>")
    tuner.space._tree["data"]["train"] = "<b>evil</b>"
    tuner.tune()
    page = (tmp_path / "out" / "tuning.html").read_text()
    assert "<b>evil" not in page
    assert "&lt;b&gt;evil" in page
