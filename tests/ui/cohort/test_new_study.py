"""A new study from tables as hospitals have them: what the page proposes, asks, shows and refuses, and what is made."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from jobs.queue import Queue
from study.__main__ import main
from study.disk.store import Study
from study.simulation.simulate import encode_jpeg
from tests.study.conftest import face_like
from tests.study.intake.test_intake_match import CASE_PHOTOS
from tests.ui.test_pages import words

CASES = Path(__file__).parents[2] / "data" / "cases" / "tables"


@pytest.fixture
def new(open_app: Callable[..., AppTest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """The form with a case's table, or these bytes, given to it."""
    monkeypatch.setenv("LATENT_HEALTH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(Queue, "start_runner", lambda self: None)

    def give(name: str, data: bytes | None = None) -> AppTest:
        app = open_app(studies=tmp_path / "studies").switch_page("pages/cohort.py").run()
        app.segmented_control(key="cohort-view").set_value("New study").run()
        table = (CASES / name).read_bytes() if data is None else data
        app.file_uploader(key="cohort-csv-0").set_value((name, table, "text/plain")).run()
        assert not app.exception
        return app

    return give


def keys(app: AppTest) -> set[str | None]:
    return {widget.key for widget in (*app.radio, *app.multiselect, *app.checkbox, *app.selectbox)}


def ready(app: AppTest) -> bool:
    return not app.button(key="cohort-make").disabled


def made(app: AppTest, tmp_path: Path, photos: bytes | None = None) -> Study:
    """Gives a name, no photos or these, says yes, and runs the command that was queued."""
    if photos is None:
        app.segmented_control(key="cohort-source-0").set_value("No photos").run()
    app.text_input(key="cohort-name-0").set_value("made").run()
    app.checkbox(key=f"cohort-allowed-0{'-table' if photos is None else ''}").check().run()
    assert not app.exception
    assert ready(app), words(app)
    app.button(key="cohort-make").click().run()
    assert not app.exception
    [job] = Queue(tmp_path / "runs" / "queue").jobs()[0]
    assert main(list(job.command[1:])) == 0
    return Study.open(tmp_path / "studies" / "made")


def horizon(app: AppTest, text: str) -> None:
    [field] = [w for w in app.text_input if str(w.key).startswith("cohort-horizons")]
    field.set_value(text).run()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "answer"), [("thou_mix.txt", "1,234.5"), ("thou_dot.csv", "1.234,5")])
def test_thousands_are_asked_about(new: Callable[..., AppTest], tmp_path: Path, name: str, answer: str) -> None:
    app = new(name)
    question = app.radio(key="cohort-ask-numbers-time_days-0")
    assert question.value is None
    assert "next to" in question.label
    assert any("is 1" in option for option in question.options)
    app.text_input(key="cohort-name-0").set_value("made").run()
    assert not ready(app)
    app.radio(key="cohort-ask-numbers-time_days-0").set_value(answer).run()
    study = made(app, tmp_path)
    assert study.time_unit == "days"
    assert study.patients["time"].max() > 1000
    assert (study.patients["time"] % 1 == 0).all()
    if name == "thou_mix.txt":
        assert np.median(study.patients["time"]) == 453


def test_decimals_that_look_like_thousands_stay_decimals_in_the_study(
    new: Callable[..., AppTest], tmp_path: Path
) -> None:
    app = new("thou_dot.csv")
    app.radio(key="cohort-ask-numbers-time_days-0").set_value("1,234.5").run()
    horizon(app, "100")
    study = made(app, tmp_path)
    assert (study.patients["time"] % 1 > 0).any()
    assert study.settings.reading.numbers == {"time_days": "1,234.5"}


def test_spellings_are_merged_on_request(new: Callable[..., AppTest], tmp_path: Path) -> None:
    app = new("case.csv")
    assert "one word in" in words(app), "a warning of the check"
    app.checkbox(key="cohort-ask-spellings-sex-0").check().run()
    study = made(app, tmp_path)
    assert sorted(set(study.patients["sex"])) == ["female", "male"]


@pytest.mark.slow
def test_follow_up_between_dates_is_proposed_and_made(new: Callable[..., AppTest], tmp_path: Path) -> None:
    app = new("dates_only.csv")
    assert app.selectbox(key="cohort-column-time-0").value == "– between two dates –"
    assert app.selectbox(key="cohort-column-baseline_date-0").value == "diagnosis_date"
    assert app.selectbox(key="cohort-column-end_date-0").value == "last_contact"
    assert "cohort-ask-dates-diagnosis_date-0" not in keys(app), "20/02/2020 has shown it"
    study = made(app, tmp_path)
    assert study.patients["time"][0] == pytest.approx(428 / 30.4375)
    assert study.horizons


def test_day_or_month_first_is_asked_where_both_are_legal(new: Callable[..., AppTest], tmp_path: Path) -> None:
    rows = "".join(f"P{i:02d},{i % 2},0{1 + i % 9}/0{2 + i % 7}/2019,1{i % 3}/0{1 + i % 8}/2021\n" for i in range(40))
    app = new("dates.csv", f"patient_id,event,diagnosis_date,last_contact\n{rows}".encode())
    for column in ("diagnosis_date", "last_contact"):
        question = app.radio(key=f"cohort-ask-dates-{column}-0")
        assert question.value is None
        assert "is the day or the month first?" in question.label
    assert not ready(app)
    for column in ("diagnosis_date", "last_contact"):
        app.radio(key=f"cohort-ask-dates-{column}-0").set_value("month first").run()
    study = made(app, tmp_path)
    assert study.patients["baseline_date"][0].isoformat()[:10] == "2019-01-02"


@pytest.mark.slow
def test_a_competing_event_is_asked_about_and_said(new: Callable[..., AppTest], tmp_path: Path) -> None:
    app = new("compete.csv")
    assert app.multiselect(key="cohort-event-event-0").value == ["1"]
    assert "a competing event?" in words(app)
    app.text_input(key="cohort-name-0").set_value("made").run()
    assert not ready(app)
    app.multiselect(key="cohort-competing-event-0").set_value(["2"]).run()
    study = made(app, tmp_path)
    assert study.settings.competing_values == ("2",)
    assert study.patients["competing"].sum() > 0


@pytest.mark.parametrize("name", ["data_clinical_patient.txt", "cbio_nohash.csv"])
def test_a_clinical_file_of_cbioportal_is_understood(new: Callable[..., AppTest], tmp_path: Path, name: str) -> None:
    app = new(name)
    chosen = {key: app.selectbox(key=f"cohort-column-{key}-0").value for key in ("patient_id", "time", "event", "age")}
    assert chosen == {"patient_id": "PATIENT_ID", "time": "OS_MONTHS", "event": "OS_STATUS", "age": "AGE"}
    assert app.multiselect(key="cohort-event-OS_STATUS-0").value == ["1:DECEASED"]
    study = made(app, tmp_path)
    assert len(study.patients) == 80
    assert study.patients["event"].tolist()[:2] == [True, False]


@pytest.mark.slow
def test_codes_for_missing_values_are_confirmed(new: Callable[..., AppTest], tmp_path: Path) -> None:
    values = ["-99", "999", "unknown", "999", *(f"{12 + i % 7 / 2}" for i in range(36))]
    rows = "".join(f"P{i:02d},{5 + i},{i % 2},{value}\n" for i, value in enumerate(values))
    app = new("hb.csv", f"patient_id,time_months,event,hb\n{rows}".encode())
    app.multiselect(key="cohort-covariates-0-1").set_value(["hb"]).run()
    horizon(app, "12")
    question = app.multiselect(key="cohort-ask-missing-hb-0")
    assert question.value == ["unknown", "-99", "999"]
    assert not ready(app)
    app.radio(key="cohort-ask-missing-hb-0-confirm").set_value("Missing values").run()
    study = made(app, tmp_path)
    assert study.patients["hb"].isna().sum() == 4
    assert study.patients["hb"].max() < 20


def zipped(names: list[str], damaged: str = "") -> bytes:
    buffer, photo = io.BytesIO(), encode_jpeg(face_like(1))
    with zipfile.ZipFile(buffer, "w") as archive:
        for i, name in enumerate(names):
            archive.writestr(name, b"\xff\xd8\xff cut off" if name == damaged else photo + bytes([i]))
    return buffer.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ids.csv", "nfc.csv", "winpath.csv"])
def test_near_names_are_shown_and_taken_once_confirmed(new: Callable[..., AppTest], tmp_path: Path, name: str) -> None:
    app = new(name)
    photos = zipped([*CASE_PHOTOS[name], "of-nobody.jpg"], damaged=CASE_PHOTOS[name][4])
    app.file_uploader(key="cohort-zip-0").set_value(("p.zip", photos, "application/zip")).run()
    assert not app.exception
    assert "61 photos: 0 are named exactly as in the table, 60 nearly, 1 belong to no patient." in words(app)
    assert "of-nobody.jpg" in words(app)
    shown = next(frame.value for frame in app.dataframe if "Differs in" in frame.value)
    assert len(shown) == 60
    assert shown["Photo"][0] == CASE_PHOTOS[name][0]
    app.text_input(key="cohort-name-0").set_value("made").run()
    app.checkbox(key="cohort-allowed-0").check().run()
    assert not ready(app), "nothing is matched silently"
    app.radio(key="cohort-matches-0").set_value("Take these matches").run()
    study = made(app, tmp_path, photos)
    assert len(study.photos) == 59
    app.switch_page("pages/cohort.py").run()
    app.segmented_control(key="cohort-view").set_value("Table check").run()
    assert "the photo was refused when the study was made" in words(app)
    app.segmented_control(key="cohort-view").set_value("Patients").run()
    assert "Photo refused when the study was made" in words(app)
    assert "No photo named in the table" not in words(app)
    app.segmented_control(key="cohort-view").set_value("Photos").run()
    assert "Refused when the study was made (1)" in [expander.label for expander in app.expander]
    assert "The photo of 5" in words(app)


def test_zeros_of_a_cells_format_need_no_question(new: Callable[..., AppTest], tmp_path: Path) -> None:
    app = new("xfmt.xlsx")
    app.file_uploader(key="cohort-zip-0").set_value(("p.zip", zipped(CASE_PHOTOS["xfmt.xlsx"]), "x")).run()
    assert "60 photos: 60 are named exactly as in the table" in words(app)
    assert "cohort-matches-0" not in keys(app)
    assert list(made(app, tmp_path, b"").photos)[:2] == ["001", "002"]


def test_a_table_is_read_once_however_often_the_page_is_drawn(
    new: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    from study.intake import guess as intake_guess
    from ui.cohort import new_study

    read: list[int] = []
    checked: list[int] = []
    table, check = intake_guess.read_table, new_study.check_raw
    monkeypatch.setattr(intake_guess, "read_table", lambda *a: read.append(1) or table(*a))
    monkeypatch.setattr(new_study, "check_raw", lambda *a: checked.append(1) or check(*a))
    app = new("index.csv")
    assert "The first column, which has no name, only numbers the rows" in words(app)
    for text in ("a", "b", "c"):
        app.text_input(key="cohort-name-0").set_value(text).run()
    assert (len(read), len(checked)) == (1, 1)
    app.selectbox(key="cohort-unit-0").set_value("weeks").run()
    assert (len(read), len(checked)) == (1, 2)


@pytest.mark.slow
def test_a_study_with_competing_events_says_so_where_survival_is_shown(
    new: Callable[..., AppTest], tmp_path: Path
) -> None:
    app = new("compete.csv")
    app.multiselect(key="cohort-competing-event-0").set_value(["2"]).run()
    study = made(app, tmp_path)
    assert "count as censored at that time: hazards are cause-specific" in study.competing_note
    app.run()
    app.segmented_control(key="cohort-view").set_value("Patients").run()
    assert not app.exception
    assert words(app).count("hazards are cause-specific") == 2, "beside the curve, and in the notice"
    app.switch_page("pages/survival_model.py").run()
    assert "hazards are cause-specific" in words(app)
