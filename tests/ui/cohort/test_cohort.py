"""The Cohort page, started from the entry: patients, table check, photos and exclusions, codes, a new study."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from jobs.queue import Queue
from study.description.table_one import SHARES
from study.disk.exclusions import exclude
from study.disk.store import Study
from study.files import csv_text, write_bytes, write_text
from study.photos.quality import measure_study
from tests.ui.conftest import Places
from tests.ui.test_pages import words
from ui.cohort import photos as cohort_photos

Opener = Callable[..., AppTest]
View = Callable[[str], AppTest]


@pytest.fixture
def studies(places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny study that a test may change; nothing is begun that is queued."""
    monkeypatch.setenv("LATENT_HEALTH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(Queue, "start_runner", lambda self: None)
    shutil.copytree(places.study.path, tmp_path / "studies" / "demo")
    return tmp_path / "studies"


@pytest.fixture
def at(open_app: Opener, studies: Path) -> View:
    """The page on one of its views."""

    def show(view: str) -> AppTest:
        app = open_app(studies=studies).switch_page("pages/cohort.py").run()
        app.segmented_control(key="cohort-view").set_value(view).run()
        assert not app.exception
        return app

    return show


@pytest.fixture
def looked_over(studies: Path) -> Path:
    """The study with its photos measured, one of them none and one twice."""
    write_bytes(studies / "demo" / "photos" / "P0002.jpg", b"no photo")
    photos = studies / "demo" / "photos"
    write_bytes(photos / "P0003.jpg", (photos / "P0001.jpg").read_bytes())
    measure_study(Study.open(studies / "demo"))
    return studies / "demo"


def jobs(tmp_path: Path) -> list[tuple[str, ...]]:
    return [job.command for job in Queue(tmp_path / "runs" / "queue").jobs()[0]]


@pytest.mark.slow
def test_it_shows_who_is_analysed_and_why_not_everyone(at: View, studies: Path) -> None:
    exclude(studies / "demo", ["P0001", "P0002"], "face <covered>")
    (studies / "demo" / "photos" / "P0005.jpg").unlink()
    said = words(at("Patients"))
    assert "Simulated study" in said
    assert "<b>−2</b> face &lt;covered&gt;" in said
    assert "<b>−1</b> Photo file not in the folder" in said
    assert ">57</b>" in said, "60 less two excluded and one without a photo"
    assert "excluded since" in said, "the model was fitted before"
    assert SHARES in said


def test_without_a_study_it_offers_to_make_one(open_app: Opener, tmp_path: Path) -> None:
    app = open_app(studies=tmp_path / "none").switch_page("pages/cohort.py").run()
    assert not app.exception
    assert app.segmented_control(key="cohort-view").value == "New study"


def test_errors_are_listed_by_row_and_the_rest_waits(at: View, studies: Path) -> None:
    table = pd.read_csv(studies / "demo" / "patients.csv", dtype=str)
    table.loc[3, "time_months"] = "-1"
    table.loc[4, "event"] = "<b>maybe</b>"
    table.loc[5, "age"] = ""
    write_text(studies / "demo" / "patients.csv", csv_text(table))
    app = at("Table check")
    said = words(app)
    assert "<td>5</td>" in said
    assert "negative" in said
    assert "&lt;b&gt;maybe" in said
    assert "<b>maybe" not in said
    app.segmented_control(key="cohort-report").set_value(["warning"]).run()
    assert "negative" not in words(app)
    assert "age is missing for 1 of 60 patients" in words(app)
    app.segmented_control(key="cohort-view").set_value("Photos").run()
    assert not app.exception
    assert "First correct the errors that the table check lists" in words(app)


def test_what_is_wrong_with_photos_is_in_the_table_check(at: View, looked_over: Path) -> None:
    said = words(at("Table check"))
    assert "P0003 has the same photo as P0001" in said
    assert "<td>3</td>" in said


def test_photos_are_looked_over_by_a_job(at: View, studies: Path, tmp_path: Path) -> None:
    app = at("Photos")
    assert "60 of 60 photos have not been checked yet" in words(app)
    app.button(key="cohort-start-quality").click().run()
    assert jobs(tmp_path) == [("study", "quality", str(studies / "demo"))]
    assert app.button(key="cohort-start-quality").disabled


@pytest.mark.slow
def test_photos_are_filtered_and_sorted_and_patients_taken_out_and_back(at: View, looked_over: Path) -> None:
    app = at("Photos")
    assert words(app).count('class="lh-thumb') == 24
    assert "60 of 60 photos" in words(app)
    app.pills(key="cohort-kinds-demo").set_value(["no photo"]).run()
    assert words(app).count('class="lh-thumb') == 1
    assert "cannot be opened" in words(app)
    assert app.button(key="cohort-exclude").disabled
    app.checkbox(key="cohort-pick-demo-P0002").check().run()
    app.button(key="cohort-exclude").click().run()
    assert "Say why" in words(app)
    app.text_input(key="cohort-reason-0").set_value("no photo").run()
    app.button(key="cohort-exclude").click().run()
    assert not app.exception
    assert list(Study.open(looked_over).excluded) == ["P0002"]
    assert "Excluded patients (1)" in [e.label for e in app.expander]
    app.button(key="cohort-undo-last").click().run()
    assert Study.open(looked_over).excluded == {}
    app.pills(key="cohort-kinds-demo").set_value([]).run()
    app.selectbox(key="cohort-sort").set_value("Dark first").run()
    app.button(key="cohort-mark").click().run()
    app.text_input(key="cohort-reason-1").set_value("=formula").run()
    app.button(key="cohort-exclude").click().run()
    assert "spreadsheet" in words(app)
    app.text_input(key="cohort-reason-1").set_value("all of a page").run()
    app.button(key="cohort-exclude").click().run()
    assert len(Study.open(looked_over).excluded) == 24
    app.multiselect[0].set_value([next(iter(Study.open(looked_over).excluded))]).run()
    app.button(key="cohort-include").click().run()
    assert len(Study.open(looked_over).excluded) == 23


def test_a_box_whose_change_is_told_twice_marks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    marked: set[str] = set()
    state = {cohort_photos.PICKED: {"demo": marked}, "box": True}
    monkeypatch.setattr(cohort_photos.st, "session_state", state)
    for _ in range(2):
        cohort_photos._pick("demo", "P0003", "box")
        assert marked == {"P0003"}
    state["box"] = False
    for _ in range(2):
        cohort_photos._pick("demo", "P0003", "box")
        assert marked == set()


def test_codes_say_whether_they_are_of_what_lies_there(at: View, studies: Path, tmp_path: Path) -> None:
    app = at("Face codes and model")
    said = words(app)
    assert "60 of 60 photos have a face code" in said
    assert "Out of date" in said, "the tiny codes were not made by a search"
    assert "cannot show whether inversion error predicts survival" in said, "all tiny errors are equal"
    app.button(key="cohort-start-embed").click().run()
    [command] = jobs(tmp_path)
    assert command[:3] == ("study", "embed", str(studies / "demo"))
    stop = next(button for button in app.button if button.label == "Stop")
    stop.click().run()
    assert [job.state for job in Queue(tmp_path / "runs" / "queue").jobs()[0]] == ["stopped"]
    app.button(key="cohort-start-embed").click().run()
    assert [job.state for job in Queue(tmp_path / "runs" / "queue").jobs()[0]] == ["waiting"], "the same job goes on"


@pytest.mark.slow
def test_reconstructions_come_in_order(at: View, studies: Path) -> None:
    app = at("Reconstructions")
    said = words(app)
    assert said.count('<figure class="lh-trio">') == 8
    assert said.count("data:image/png") == 24
    assert "PSNR 30.0 dB" in said
    assert "ST-LPIPS 0.300" in said
    assert "These people do not exist" in said
    write_bytes(studies / "demo" / "photos" / "P0001.jpg", b"other")
    app.selectbox(key="cohort-measure").set_value("psnr").run()
    assert not app.exception
    assert "The photo changed after it was embedded." in words(app)


@pytest.mark.slow
def test_a_new_study_is_proposed_checked_and_queued(at: View, studies: Path, tmp_path: Path) -> None:
    app = at("New study")
    table = csv_text(
        pd.DataFrame({"ID": ["A", "B"], "os_days": [100, -2], "status": ["dead", "alive"], "image": ["a.jpg", "b.jpg"]})
    )
    app.file_uploader(key="cohort-csv-0").set_value(("t.csv", table.encode(), "text/csv")).run()
    assert not app.exception
    assert app.selectbox(key="cohort-column-time-0").value == "os_days"
    assert app.selectbox(key="cohort-unit-0").value == "days"
    assert app.multiselect(key="cohort-event-status-0").value == ["dead"]
    assert "No time is proposed for reporting survival" in words(app)
    app.text_input(key="cohort-horizons-days--0").set_value("50").run()
    app.text_input(key="cohort-name-0").set_value("demo").run()
    assert "nothing is overwritten" in words(app)
    app.text_input(key="cohort-name-0").set_value("fresh").run()
    assert "negative" in words(app)
    assert app.button(key="cohort-make").disabled
    app.file_uploader(key="cohort-csv-0").set_value(("t.csv", table.replace("-2", "2").encode(), "text/csv")).run()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", (studies / "demo" / "photos" / "P0001.jpg").read_bytes())
    app.file_uploader(key="cohort-zip-0").set_value(("p.zip", buffer.getvalue(), "application/zip"))
    app.checkbox(key="cohort-allowed-0").check().run()
    assert not app.button(key="cohort-make").disabled
    app.button(key="cohort-make").click().run()
    assert not app.exception
    [command] = jobs(tmp_path)
    assert command[:2] == ("study", "intake")
    from study.__main__ import main

    assert main(list(command[1:])) == 0
    made = Study.open(studies / "fresh")
    assert (made.time_unit, list(made.photos), list(made.patients["event"])) == ("days", ["A"], [True, False])
    app.run()
    next(button for button in app.button if button.label == "Choose it in the sidebar").click().run()
    assert app.selectbox(key="study").value == "fresh"


def test_patients_are_described(at: View) -> None:
    app = at("Patients")
    said = words(app)
    assert "All (n = 60)" in said
    assert "by reverse Kaplan-Meier" in said
    assert "<td>female</td>" in said
    assert "per 100 patient-months" in said


@pytest.mark.slow
def test_a_table_without_photos_becomes_a_study(at: View, studies: Path, tmp_path: Path) -> None:
    app = at("New study")
    table = "id;time_months;status;Alter;BMI;arm\nA;12,5;1;60;22,5;x\nB;7;0;71;31;y\n".encode("cp1252")
    app.file_uploader(key="cohort-csv-0").set_value(("t.csv", table, "text/csv")).run()
    assert not app.exception
    assert "separated by semicolons" in words(app)
    app.text_input(key="cohort-horizons-months--0").set_value("6").run()
    app.multiselect(key="cohort-covariates-0-2").set_value(["BMI", "arm"]).run()
    assert app.checkbox(key="cohort-allowed-0").label.count("photos")
    app.segmented_control(key="cohort-source-0").set_value("No photos").run()
    app.text_input(key="cohort-name-0").set_value("plain").run()
    agreed = app.checkbox(key="cohort-allowed-0-table")
    assert "photos" not in agreed.label
    agreed.check().run()
    assert {"cohort-checkpoint-0", "cohort-aligned-0"}.isdisjoint({w.key for w in (*app.selectbox, *app.checkbox)})
    assert "Every photo" not in words(app)
    assert "only 1 event among 2 patients" in words(app)
    app.button(key="cohort-make").click().run()
    assert not app.exception
    [command] = jobs(tmp_path)
    assert len([word for word in command if word.endswith((".csv", ".zip"))]) == 1
    from study.__main__ import main

    assert main(list(command[1:])) == 0
    made = Study.open(studies / "plain")
    assert made.photos == {}
    assert [(c.name, c.kind) for c in made.settings.covariates] == [("BMI", "numeric"), ("arm", "categorical")]
    assert made.patients["BMI"].tolist() == [22.5, 31.0]


@pytest.mark.slow
def test_an_example_of_real_patients(at: View, studies: Path) -> None:
    app = at("New study")
    app.segmented_control(key="cohort-from").set_value("An example of real patients").run()
    app.selectbox(key="cohort-example").set_value("veteran").run()
    app.button(key="cohort-make-example").click().run()
    assert not app.exception
    assert len(Study.open(studies / "veteran").patients) == 137
    assert app.button(key="cohort-make-example").disabled
    next(button for button in app.button if button.label == "Choose it in the sidebar").click().run()
    app.segmented_control(key="cohort-view").set_value("Patients").run()
    assert not app.exception
    said = words(app)
    assert "Study of real patients" in said
    assert "Analysed by clinical columns" in said
    assert "none: clinical columns only" in said
    assert "Kalbfleisch" in said
    for view in ("Table check", "Photos", "Face codes and model", "Reconstructions"):
        app.segmented_control(key="cohort-view").set_value(view).run()
        assert not app.exception
        assert not [button for button in app.button if button.label.startswith("Embed")]
    app.switch_page("pages/home.py").run()
    assert not app.exception
    assert "Go to the Survival model page" in [button.label for button in app.button]
    assert next(element.proto.page for element in app.main if element.type == "page_link") == "cohort"
