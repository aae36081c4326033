"""The report: what it says, that it says it twice alike, names nobody, loads nothing and obeys no text of a study."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.html import Html, tag, text
from study.__main__ import main
from study.comparison.fit import fit, fit_plan
from study.comparison.plan import Plan
from study.comparison.record import Comparison
from study.comparison.run import compare
from study.description.table_one import SHARES
from study.disk.exclusions import exclude
from study.disk.store import Study
from study.errors import StudyError
from study.files import write_text
from study.report.build import PARTS, document, report_html
from study.report.facts import gather
from study.report.page import figure, page, paragraph
from study.report.sections.tripod import AUTHORS, ITEMS
from study.settings import settings_text
from survival.plots.labels import plain_label
from tests.study.conftest import make_cohort, patient_table, write_study

pytestmark = pytest.mark.slow  # its fixtures take seconds

PLAN = Plan(("clinical", "photo", "photo-clinical-late"), folds=2, repeats=1, samples=40, shuffles=2, penalties=6)
MONDAY, TUESDAY = datetime(2026, 3, 2, 9, 30, tzinfo=UTC), datetime(2026, 3, 3, 18, 0, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = make_cohort(tmp_path_factory.mktemp("report") / "cohort", n=140, shape=(3, 4))[0]
    exclude(study.path, ["P0003", "P0004"], "Same person as P0005")
    study = Study.open(study.path)
    fit(study, plan=fit_plan(folds=3, repeats=1, penalties=8, samples=200))
    return study


@pytest.fixture(scope="module")
def comparison(study: Study) -> Comparison:
    return compare(study, PLAN, "main")


@pytest.fixture(scope="module")
def report(study: Study, comparison: Comparison) -> str:
    return report_html(study, when=MONDAY).decode()


def words(report: str) -> str:
    """The text of the page, without scripts and tags."""
    bare = re.sub(r"<(script|style).*?</\1>", " ", report, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", bare)))


def drawn(report: str) -> list[go.Figure]:
    found = re.findall(r'<script type="application/json">(.*?)</script>', report, flags=re.DOTALL)
    return [go.Figure(json.loads(data)) for data in found]


def test_all_parts_are_there_with_the_figures_of_the_comparison(report: str, comparison: Comparison) -> None:
    for place, title, _ in PARTS:
        assert f'<section id="{place}"><h2>{html.escape(title)}' in report
        assert f'href="#{place}"' in report
    said = words(report)
    for judged in comparison.candidates:
        e = comparison.estimate(judged.name)
        assert judged.label in said
        assert f"{e.value:.3f} ({e.low:.3f} to {e.high:.3f})" in said
    d = comparison.difference("photo / cox-ridge", "clinical / cox")
    assert f"{d.value:.3f} ({d.low:.3f} to {d.high:.3f})".replace("-", "−") in said
    assert "138 patients were analysed" in said
    assert "2 left out" in report
    assert "These patients are simulated" in said
    assert "nested cross-validation by patient" in said


def test_levels_of_coefficients_and_shares_of_table_1_say_what_they_refer_to(report: str) -> None:
    said = html.unescape(words(report))
    assert "Levels are compared with: " in said
    assert SHARES in said


def test_every_kind_of_figure_is_drawn(report: str) -> None:
    titles = [f.layout.yaxis.title.text or f.layout.xaxis.title.text or "" for f in drawn(report)]
    for wanted in ("Free of the event (%)", "AUC(t)", "Brier score, lower is better", "Net benefit", "C out of fold"):
        assert wanted in titles
    for wanted in (
        "Harrell C out of fold",
        "Harrell C minus that of",
        "Hazard ratio",
        "Observed risk",
        "Log hazard ratio",
    ):
        assert any(title.startswith(wanted) for title in titles), wanted
    assert report.count('class="plot"') == len(titles)


def test_twice_the_same_bytes_but_for_the_date(study: Study, report: str) -> None:
    again = report_html(Study.open(study.path), when=TUESDAY).decode()
    first, second = report.splitlines(), again.splitlines()
    assert len(first) == len(second)
    differ = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a != b]
    assert len(differ) == 1
    assert first[differ[0]] == '<p class="date">Written 2026-03-02 09:30 UTC</p>'


def test_nobody_is_named(study: Study, report: str) -> None:
    ours = re.sub(r"<script>.*?</script>", "", report, flags=re.DOTALL)  # all but Plotly, in which any letters occur
    ours = re.sub(r'"bdata":"[^"]*"', "", ours)  # and numbers in base64
    assert not re.search(r"P0\d\d\d", ours)
    assert "photos/" not in ours
    assert "Same person as (a patient)" in report
    facts = gather(study)
    assert facts.without_ids("P0001.jpg and P0002, of 12") == "P0001.jpg and (a patient), of 12"
    long_numbers = replace(facts, ids=frozenset({"1234567"}))
    assert long_numbers.without_ids("1234567: 12.5 % of 600") == "(a patient): 12.5 % of 600"


def test_nothing_is_loaded_from_anywhere(report: str) -> None:
    assert len(report.encode()) < 10 * 2**20
    assert "default-src 'none'" in report
    own = re.sub(r"<script>.*?</script>", "", report, flags=re.DOTALL)  # Plotly names addresses that it never asks for
    assert not re.search(r"https?://|<link|<img|<iframe|@import|url\(", own)
    assert len(re.findall(r"<script>", report)) == 2  # Plotly, once, and what draws
    assert report.count("</html>") == 1


def test_the_checklist_is_whole_and_leaves_judgement_to_the_authors(report: str) -> None:
    answers = {number: answer for items in ITEMS.values() for number, _, answer in items}
    numbers = [number for items in ITEMS.values() for number, *_ in items]
    assert len(set(numbers)) == len(numbers) == 52
    assert [n for n in numbers if n.isdigit()] == [
        str(i) for i in (1, 2, 4, 7, *range(10, 12), 13, 14, 15, 16, 17, 19)
    ] + [str(i) for i in (21, 22, 24, 25, 26)]
    for number in numbers:
        assert f"<td>{number}</td>" in report
    unknown = [number for number, answer in answers.items() if answer == AUTHORS]
    assert {"1", "2", "6c", "18a", "19", "25"} <= set(unknown)
    assert report.count(f"<em>{AUTHORS}</em>") == len(unknown)


def test_reproducibility(study: Study, report: str) -> None:
    from study.files import sha256_of

    assert sha256_of(study.path / "patients.csv") in report
    assert study.embedding.checkpoint_sha256 in report
    assert "python -m study compare cohort --name main --features clinical,photo,photo-clinical-late" in words(report)


def test_a_change_since_is_said(study: Study, comparison: Comparison) -> None:
    facts = gather(replace(study, excluded={}))
    assert any("re-included" in reason for reason in facts.stale)
    assert "Out of date: 2 patients were re-included since." in words(document(facts, MONDAY).decode())


def test_texts_of_a_study_are_texts(tmp_path: Path) -> None:
    table = patient_table(60)
    table["site"] = [HOSTILE if i % 2 else "a & b" for i in range(60)]
    study = Study.open(write_study(tmp_path / "clinic", table))
    hostile = replace(study.settings, title=f"Clinic {HOSTILE}")
    write_text(study.path / "study.toml", settings_text(hostile))
    report = report_html(Study.open(study.path), when=MONDAY).decode()
    assert "<script>alert" not in report
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;" in report
    assert "a &amp; b" in report
    assert all("<script>" not in f.to_json() for f in drawn(report))
    said = words(report)
    assert "No model has been fitted or compared yet" in said
    assert "Simulated" not in said
    assert '<section id="models">' not in report
    assert said.count("No model was fitted or compared yet.") == 6, "the checklist claims nothing of a model"
    assert "internal validation." not in said
    assert not re.search(r"<section[^>]*>\s*<h2[^>]*>[^<]*</h2>\s*</section>", report), "a heading without a word"


@given(st.text())
def test_any_text_is_escaped(value: str) -> None:
    written = text(value)
    assert "<" not in written
    assert ">" not in written
    assert html.unescape(written).replace("\u00a0%", " %") == value.replace("\u00a0%", " %")
    assert "<" not in tag("a", "x", href=value).removeprefix("<a").removesuffix("</a>").replace(">x", "")


@settings(max_examples=30)
@given(st.text(alphabet="<>/script&'\"!-\u2028 \\u003c", max_size=40))
def test_no_figure_ends_its_script(value: str) -> None:
    made = go.Figure(go.Scatter(x=[1], y=[2], name=value))
    block = figure(made, value)
    assert block.count("</script>") == 1
    (again,) = drawn(block)
    assert again.data[0].name == plain_label(value)


def test_a_page_of_nothing_is_a_page() -> None:
    written = page("<t>", Html(paragraph("1 < 2"))).decode()
    assert written.startswith("<!DOCTYPE html>")
    assert "<title>&lt;t&gt;</title>" in written
    assert "<p>1 &lt; 2</p>" in written


def test_command(study: Study, comparison: Comparison, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "report.html"
    assert main(["report", str(study.path), "--out", str(out), "--comparison", "main", "--model", "photo"]) == 0
    assert out.read_bytes().startswith(b"<!DOCTYPE html>")
    assert "needs no network" in capsys.readouterr().out
    for refused, sentence in (
        (["--comparison", "other"], "no comparison 'other'"),
        (["--model", "other"], "no model 'other'"),
        (["--out", str(tmp_path / "report.txt")], "ends in .html"),
        (["--comparison", "../x"], "cannot be a comparison's name"),
    ):
        assert main(["report", str(study.path), "--out", str(tmp_path / "no.html"), *refused]) == 1
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "no.html").exists()


def test_nobody_left_is_a_sentence(study: Study) -> None:
    with pytest.raises(StudyError, match=r"photo and a code"):
        gather(
            replace(study, excluded=dict.fromkeys(study.patients["patient_id"], next(iter(study.excluded.values()))))
        )
