"""Fine-tune: a face model trained further on one's own photos, in a process that outlives the page."""

from ui.elements import blocks, message
from ui.finetune import plan, queue_view, training_sets
from ui.shell import sidebar

sidebar.masthead(
    "A face model for other faces",
    "Fine-tune",
    "Make a training set of your own photos, train a face model further on it, and watch its faces change. The work "
    "continues when you leave the page or close the app.",
)
blocks.notice(
    "Before you begin",
    "A fine-tuned face model can reproduce faces that it was trained on, and parts of them in any picture that it "
    "draws. Train only on photos that you may use for this, protect the result like the photos themselves, and do not "
    "pass it on without the consent of the people in them. For research only.",
)
message.show()

blocks.section("1. Training set")
chosen = training_sets.choose()

blocks.section("2. Start and length")
plan.plan(chosen)

blocks.section("3. Queue")
blocks.note("One job runs at a time. Closing the page or the app does not stop it.")
queue_view.section()
