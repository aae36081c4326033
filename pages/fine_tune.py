"""Fine-tune: a generator goes on learning from photos of one's own, in a process that outlives the page."""

from ui.elements import page
from ui.finetune import plan as finetune_plan
from ui.finetune import queue_view, training_sets

page.masthead(
    "A generator for other faces",
    "Fine-tune",
    "Align photos into a training set, let a checkpoint go on learning from them, and watch its faces change. The work "
    "runs by itself: leave the page or close the app, it goes on.",
)
page.notice(
    "Before you begin",
    "A fine-tuned generator can reproduce faces it was trained on, and parts of them in any picture it draws. Train "
    "only on photos that you may use for this, guard the result like the photos themselves, and do not pass it on "
    "without the consent of the people in them. For research only.",
)
queue_view.problem()

page.section("1. Training set")
chosen = training_sets.choose()

page.section("2. Start and length")
finetune_plan.plan(chosen)

page.section("3. Queue")
page.note("One job runs at a time, each in a process of its own. Closing the page or the app stops none of them.")
queue_view.section()
