"""What a study folder keeps of questions that were asked of it."""

from reglab.analysis.diagnose import diagnose
from reglab.experiments import diagnosis
from reglab.report.diagnosis import as_dict
from reglab.study.storage import answers
from reglab.tasks import SingleLabel


def test_an_answer_is_found_by_its_question_and_replaces_no_other(tmp_path):
    asked = [{"recipe": name} for name in ("none", "l2")]
    files = [answers.keep(tmp_path, "diagnosis", question, {"schema": 7, "word": "fits"}) for question in asked]
    assert files[0] == tmp_path / "diagnosis.json" != files[1]
    for question in asked:
        held = answers.find(tmp_path, "diagnosis", question)
        assert held["word"] == "fits"
        assert held["recipe"] == question["recipe"]
    assert answers.latest(tmp_path, "diagnosis")["recipe"] == "l2"
    again = answers.keep(tmp_path, "diagnosis", asked[0], {"word": "overfits"})
    assert again == files[0]
    assert answers.latest(tmp_path, "diagnosis")["word"] == "overfits"
    assert len(answers.every(tmp_path, "diagnosis")) == 2


def test_what_probes_and_treatments_found_stays_where_a_diagnosis_is_made_again(tmp_path):
    curves = {"train_accuracy": [0.3, 0.6, 0.9], "val_accuracy": [0.3, 0.5, 0.5]}
    found = as_dict(diagnose([curves] * 3, SingleLabel(classes=("a", "b"))), [])
    probed = {"shuffled": {"score": 0.5}, "findings": [{"name": "shuffled"}]}
    diagnosis.write(tmp_path, "none", {**found, "probes": probed, "treatment": {"recommended": "l2"}})
    diagnosis.write(tmp_path, "none", found)
    held = answers.latest(tmp_path, diagnosis.STEM)
    assert held["treatment"] == {"recommended": "l2"}
    assert held["probes"] == probed
    assert {key: held[key] for key in found} == found
