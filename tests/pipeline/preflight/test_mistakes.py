"""Mistakes that people make in a profile: each is refused when the profile is loaded, or by preflight, and none later.

Each message names the file and line, or the key, and what to do. Profiles are laid over one of a few local texts.
"""

import re

import pytest

from pipeline.base.errors import SqueezeError
from pipeline.preflight.finding import refusal

NO_PYTHON = re.compile(r"NoneType|Commented|__pydantic|<class|Traceback|\bdict_|\[type=")
AT_LOAD = {
    # types
    "a text for a number": ("training: {batch_tokens: 8k}", "training.batch_tokens: expected a whole number"),
    "a half epoch": ("schedule: {epochs: 1.5}", "schedule.epochs: expected a whole number, found 1.5"),
    "true for a rate": ("training: {optimizer: {learning_rate: true}}", "learning_rate: expected a number, found True"),
    "a list for a section": ("training: [1]", "training: expected a mapping of settings"),
    "a number for a section": ("model: 3", "model: expected a mapping of settings, found 3"),
    "a text for a list": ("tokenizers: {candidates: 5}", "tokenizers.candidates: expected a list, found 5"),
    "a list for a corpus": ("corpora: {mine: [a]}", "corpora.mine: expected a mapping of settings"),
    "a word for a switch": ("model: {bias: maybe}", "model.bias: expected true or false, found 'maybe'"),
    "infinity": ("training: {optimizer: {learning_rate: .inf}}", "learning_rate: expected a finite number"),
    "not a number": ("training: {schedule: {final_share: .nan}}", "training.schedule.final_share: must be at most 1,"),
    "nothing where all is needed": ("corpora: null", "corpora: missing, must be given"),
    "a mapping for a name": ("name: {a: 1}", "name: expected a text"),
    # ranges
    "no epochs": ("schedule: {epochs: 0}", "schedule.epochs: must be at least 1, found 0"),
    "less than no epochs": ("schedule: {epochs: -1}", "schedule.epochs: must be at least 1"),
    "all is held out": ("curation: {heldout: {share: 1.0}}", "curation.heldout.share: must be below 1"),
    "nothing is held out": ("curation: {heldout: {share: 0}}", "curation.heldout.share: must be above 0"),
    "percent": ("curation: {heldout: {share: 10}}", "curation.heldout.share: must be below 1, found 10"),
    "a negative weight": ("schedule: {stages: [{name: a, mixture: {mine: -0.4}}]}", "mixture.mine: must be at least 0"),
    "no time": ("training: {max_minutes: -1}", "training.max_minutes: must be above 0"),
    "no steps": ("training: {max_steps: 0}", "training.max_steps: must be above 0"),
    "a rate of fifty": ("training: {optimizer: {learning_rate: 50}}", "learning_rate: must be at most 10, found 50"),
    "all is dropped": ("model: {dropout: 1.0}", "model.dropout: must be below 1"),
    "no ranks": ("launch: {ranks: 0}", "launch.ranks: must be auto or a whole number of at least 1; found 0"),
    "ranks of a word": ("launch: {ranks: two}", "launch.ranks: must be auto or a whole number of at least 1"),
    "no workers": ("shards: {workers: 0}", "shards.workers: must be at least 1, found 0"),
    "cooldown over the run": ("training: {schedule: {cooldown_share: 2}}", "cooldown_share: must be at most 1"),
    "a context of nothing": ("model: {context: 0}", "model.context: must be above 0"),
    # names
    "a section": ("traning: {seed: 2}", "traning: unknown key; did you mean 'training'?"),
    "a key": ("training: {batch_token: 8192}", "training.batch_token: unknown key; did you mean 'batch_tokens'?"),
    "a key's old place": ("training: {warmup_steps: 5}", "this key has moved: write training.schedule.warmup_steps"),
    "a filter": ("corpora: {mine: {filters: {minimum_wrods: 5}}}", "did you mean 'minimum_words'?"),
    "a device": ("training: {device: gpu}", "training.device: must be 'auto', 'cpu', 'cuda' or 'mps', found 'gpu'"),
    "a precision": (
        "training: {precision: fp16}",
        "training.precision: must be 'auto', 'bf16' or 'float32', found 'fp16'",
    ),
    "an optimizer": (
        "training: {optimizer: {kind: adam}}",
        "training.optimizer.kind: must be 'adamw', 'muon', 'normuon' or 'soap_muon'",
    ),
    "a preset": ("preset: xl", "preset: 'xl' is not one of s, m, l, gpt2, gpt2_3x"),
    "a corpus in a mixture": (
        "schedule: {stages: [{name: a, mixture: {mien: 1.0}}]}",
        "schedule.stages.0.mixture.mien: stage 'a' mixes 'mien', which is not in corpora; did you mean 'mine'?",
    ),
    "a corpus that was taken away": ("corpora: {mine: null, other: {sources: [{files: 'texts/*'}]}}", "mixes 'mine'"),
    "a corpus of capitals": ("corpora: {My-Texts: {sources: [{files: a}]}}", "use small letters, digits and underscor"),
    "a language": ("corpora: {mine: {filters: {language: [french]}}}", "did you mean 'fr' (French)?"),
    "an encoding": (
        "corpora: {mine: {sources: [{files: a, format: whole, encoding: latin_11}]}}",
        "'latin_11' is no encoding of text; did you mean 'latin-1",
    ),
    "an encoding that is none here": (
        "corpora: {mine: {sources: [{files: a, format: whole, encoding: ANSI}]}}",
        "'ANSI' is what Windows calls the code page of its own language, so write that one: windows-1252",
    ),
    "a format": ("corpora: {mine: {sources: [{files: a, format: txt}]}}", "'txt' is no format of documents"),
    "a kind of suite": ("evaluation: {suites: {a: {kind: lmeval, tasks: [a]}}}", "kind must be one of 'bits_per_byte'"),
    "a benchmark": (
        "evaluation: {suites: {h: {kind: lm_eval, tasks: [helaswag]}}}",
        "the nearest it has are hellaswag",
    ),
    "a benchmark to keep out": ("curation: {decontaminate_against: [helaswag]}", "decontaminate_against names 'helas"),
    "a balanced language": ("schedule: {language_temperature: {mein: 2}}", "there is no corpus 'mein'; did you mean"),
    # files
    "two places of one source": (
        "corpora: {mine: {sources: [{files: a, hub: {id: a/b, revision: m}}]}}",
        "exactly one",
    ),
    "no source": ("corpora: {mine: {sources: []}}", "corpora.mine.sources: expected at least 1 values"),
    "an incomplete pin": ("corpora: {mine: {sources: [{archive: {package: a}}]}}", "archive.version: missing, must be"),
    # the schedule
    "shares over one": (
        "schedule: {stages: [{name: a, share: 0.7, mixture: {mine: 1}}, {name: b, share: 0.7, mixture: {mine: 1}}]}",
        "the shares of its stages add up to more than 1",
    ),
    "shares under one": (
        "schedule: {stages: [{name: a, share: 0.2, mixture: {mine: 1}}, {name: b, share: 0.2, mixture: {mine: 1}}]}",
        "stages (a, b) add up to 0.4: make them 1, or leave the share of one stage out",
    ),
    "nothing is left": (
        "schedule: {stages: [{name: a, share: 1, mixture: {mine: 1}}, {name: b, mixture: {mine: 1}}]}",
        "so 'b' has nothing left: lower a share",
    ),
    "tokens leave nothing": (
        "schedule: {tokens_per_epoch: 90000, stages: [{name: a, tokens: 90000, mixture: {mine: 1}},"
        " {name: b, mixture: {mine: 1}}]}",
        "so 'b' has nothing left: raise tokens_per_epoch",
    ),
    "two stages take the rest": (
        "schedule: {stages: [{name: a, mixture: {mine: 1}}, {name: b, mixture: {mine: 1}}]}",
        "stages a, b have neither share nor tokens; one may",
    ),
    "twice the same stage": (
        "schedule: {stages: [{name: a, share: 0.5, mixture: {mine: 1}}, {name: a, mixture: {mine: 1}}]}",
        "stages need different names, found a, a",
    ),
    "an epoch without a stage": (
        "schedule: {epochs: 2, stages: [{name: a, epochs: [1], mixture: {mine: 1}}]}",
        "no stage occurs in epoch 2",
    ),
    "epochs of less than a batch": ("schedule: {tokens_per_epoch: 1000}", "epochs of 1,000 tokens do not fill one bat"),
    # the batch and the run
    "a batch of no whole sequences": (
        "training: {batch_tokens: 10000}",
        "mine.yaml, line 2: training.batch_tokens: must be a multiple of model.context (256), found 10,000: set it to",
    ),
    "a context over the batch": (
        "model: {context: 16384}",
        "model.context: a sequence of 16,384 tokens is longer than",
    ),
    "more ranks than sequences": (
        "launch: {ranks: 64}",
        "64 ranks cannot share a batch of 16 sequences: set it to auto",
    ),
    "more ranks on all nodes than sequences": (
        "launch: {kind: slurm, nodes: 4, ranks: 16}",
        "64 ranks on 4 nodes cannot share a batch of 16 sequences: set fewer",
    ),
    "nodes where there is one machine": (
        "launch: {nodes: 2}",
        "nodes is 2, but kind is local, which is one machine: set kind to command, slurm or ray",
    ),
    "warm-up over max_steps": (
        "training: {max_steps: 12, schedule: {warmup_steps: 1000}}",
        "training.schedule.warmup_steps: 1,000 steps of warm-up are no shorter than the run of 12: lower it",
    ),
    "warm-up over the epochs": (
        "schedule: {tokens_per_epoch: 100_000}\ntraining: {schedule: {warmup_steps: 100000}}",
        "are no shorter than the run of 97",
    ),
    "heads and width": ("model: {heads: 7}", "heads (7) must divide width (128)"),
    "packing of another context": (
        "shards: {packing: {context: 99}}",
        "shards.packing.context: it is 99, model.context",
    ),
    "shards of no whole batches": ("shards: {tokens_per_shard: 999}", "must be a multiple of tokens_per_batch"),
    "an average that no run keeps": (
        "evaluation: {weights: ema}",
        "evaluation.weights: it is ema, which a run keeps only where training.ema_horizon or training.average_share is",
    ),
    "layers that come late and never": (
        "training: {recurrence_from: 0.5}",
        "training.recurrence_from: no layers run again: set model.recurrence, or leave it out",
    ),
    "windows that grow to nothing": (
        "training: {window_warmup: 0.5}",
        "training.window_warmup: no attention is short: set model.window, or leave it out",
    ),
    "a rate of no head": (
        "training: {optimizer: {head_learning_rate: 0.01}}",
        "training.optimizer.head_learning_rate: the output projection is the embedding: set model.tied to false",
    ),
    "the lowest loss of no evaluation": (
        "evaluation: {weights: lowest_loss}\ntraining: {evaluate_every: null}",
        "which a run keeps only where training.evaluate_every is set: set that, or write averaged",
    ),
    # tokenizers
    "a candidate": ("tokenizers: {candidates: [bpe_1k, gpt-2]}", "there is no tokenizer 'gpt-2'"),
    "a choice that is no candidate": ("tokenizers: {select: bpe_4k}", "select is 'bpe_4k'; use one of the candidates"),
    "a criterion": ("tokenizers: {select: fewest_token}", "or a criterion (fewest_tokens, cheapest_training"),
    "a proxy that is not asked for": ("tokenizers: {select: proxy_bits_per_byte}", "add `proxy: {}` to the section"),
    "a candidate twice": ("tokenizers: {candidates: [bpe_1k, bpe_1k]}", "lists bpe_1k more than once"),
    "a vocabulary the tokenizer overrules": (
        "model: {vocab_size: 1000}",
        "model.vocab_size: it is 1,000, but the tokenizer decides, whose vocabulary has 1,024 (bpe_1k) rows: set",
    ),
    "a folder of specifications": ("tokenizers: {folder: nowhere}", "tokenizers.folder"),
}
AS_A_FILE = {
    "an empty file": ("", "a profile is a mapping of sections, such as `extends: sample`; found nothing"),
    "a list": ("- extends: sample\n", "found a list"),
    "a word": ("sample\n", "found the value 'sample'"),
    "a tab": ("extends: own.yaml\ntraining:\n\tseed: 2\n", "line 3: not valid YAML: found character '\\t' that cannot"),
    "a key twice": ("training: {seed: 2}\ntraining: {seed: 3}\n", "line 2: not valid YAML: found duplicate key"),
    "a brace that is not closed": ("training: {seed: 2\n", "not valid YAML"),
    "itself": ("extends: mine.yaml\n", "the profiles extend each other in a circle"),
    "a number to extend": ("extends: 3\n", "expected the name or path of a profile, found 3"),
    "an unknown profile": ("extends: smaple\n", "there is no profile named 'smaple'; did you mean 'sample'?"),
}
IN_PREFLIGHT = {
    "cuda where there is none": (
        "training: {device: cuda}",
        "training.device is 'cuda', but torch sees none here; set",
    ),
    "mps where there is none": (
        "training: {device: mps}",
        "training.device is 'mps', but torch sees none here; set it",
    ),
    "three ranks on two cores": ("launch: {ranks: 3}", "this machine has 2 cores: set launch.ranks to auto"),
    "a service of runs that is not installed": (
        "training: {mlflow: true}",
        "training.mlflow is set, but mlflow is not installed: pip install mlflow, or leave",
    ),
    "a pattern that matches nothing": (
        "corpora: {mine: {sources: [{files: 'nowhere/*.txt', format: whole}]}}",
        "corpora.mine.sources.0.files: nothing matches nowhere/*.txt: correct the pattern",
    ),
    "a file that is not there": (
        "corpora: {mine: {sources: [{files: a.txt, format: whole}]}}",
        "a.txt does not exist: correct the source's `files`",
    ),
    "a folder for files": (
        "corpora: {mine: {sources: [{files: texts, format: whole}]}}",
        "is a folder: write which of",
    ),
    "a corpus nobody reads whose files are gone": (
        "corpora: {other: {sources: [{files: 'x/*.txt', format: whole}]}}",
        "corpora.other.sources.0.files: nothing matches",
    ),
    "more vocabulary than text": (
        "tokenizers: {candidates: [bpe_64k], select: bpe_64k}",
        "asks for 65,536: lower its vocab_size",
    ),
    "a model beyond all memory": (
        "model: {width: 32768, heads: 64, layers: 96, ff_width: 131072}",
        "lower model.layers, model.width or model.context",
    ),
    "more text than the disk holds": (
        "corpora: {mine: {estimated_bytes: 9_000_000_000_000}}",
        "point SQUEEZE_HOME at a",
    ),
}


@pytest.mark.parametrize("mistake", AT_LOAD)
def test_a_mistake_is_refused_when_the_profile_is_loaded(mistake, own, findings):
    text, said = AT_LOAD[mistake]
    with pytest.raises(SqueezeError) as error:
        findings(own(text + "\n"))
    assert said in str(error.value)
    assert "mine.yaml" in str(error.value) or "suite" in str(error.value) or "decontaminate" in str(error.value)
    assert not NO_PYTHON.search(str(error.value))


@pytest.mark.parametrize("mistake", AS_A_FILE)
def test_a_file_that_is_no_profile_is_refused_with_its_line(mistake, own, findings, tmp_path):
    text, said = AS_A_FILE[mistake]
    own()
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(SqueezeError) as error:
        findings(tmp_path / "mine.yaml")
    assert said in str(error.value)
    assert not NO_PYTHON.search(str(error.value))


def test_a_limit_that_the_libraries_alone_break_is_refused_before_torch_is_loaded(own, findings, monkeypatch):
    monkeypatch.setattr("pipeline.preflight.place.address_limit", lambda: 1_500_000_000)
    error = str(refusal(findings(own())))
    assert error.startswith("preflight: `ulimit -v` lets a process map 1.5 GB")
    assert "raise it (`ulimit -v unlimited`)" in error


@pytest.mark.parametrize("mistake", IN_PREFLIGHT)
def test_what_the_machine_lacks_is_refused_before_the_first_asset(mistake, own, findings, machine):
    text, said = IN_PREFLIGHT[mistake]
    machine(cores=2)
    error = str(refusal(findings(own(text + "\n"))))
    assert error.startswith("preflight: ")
    assert said in error
    assert not NO_PYTHON.search(error)
