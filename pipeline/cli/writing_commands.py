"""Commands that let a model write: once, in turns in the terminal, or on a page of this machine."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pipeline.cli.terminal import MODEL_KEY, ProfileOption, console, open_store
from pipeline.reporting.served import ADDRESS, PORT, REPORT_FILE
from trainer.run.kept_weights import AVERAGED, NAMES

if TYPE_CHECKING:
    from pipeline.cli.writing.model import Writer
    from pipeline.store import Store
    from trainer.sampling import Sampling

app = typer.Typer()

REPORT_KEY: Final = "report"

TokensOption = Annotated[int, typer.Option(help="Most tokens to add.")]
TemperatureOption = Annotated[float, typer.Option(help="0 takes the likeliest token every time.")]
TopPOption = Annotated[float, typer.Option(help="Draw from the likeliest tokens that hold this share.")]
TopKOption = Annotated[int, typer.Option(help="Draw from so many of the likeliest tokens; 0 is all.")]
WeightsOption = Annotated[str, typer.Option(help=f"Which weights of the run write: {', '.join(NAMES)}.")]
SeedOption = Annotated[int, typer.Option(help="The same seed gives the same text.")]


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="Text to go on from; an empty one starts a document.")],
    profile: ProfileOption = None,
    tokens: TokensOption = 120,
    temperature: TemperatureOption = 0.8,
    top_p: TopPOption = 0.95,
    top_k: TopKOption = 0,
    seed: SeedOption = 1,
    weights: WeightsOption = AVERAGED,
) -> None:
    """Continue a text with the latest model, as it is written; the text is printed exactly as it is."""
    from pipeline.cli.writing.model import load_writer

    sampling = _sampling(tokens, temperature, top_p, top_k, seed)
    store = open_store(profile)
    writer = load_writer(store, store.current(MODEL_KEY), weights)
    pieces = writer.continued(prompt, sampling)
    bold, plain = ("\x1b[1m", "\x1b[0m") if console.is_terminal and not console.no_color else ("", "")
    sys.stdout.write(f"{bold}{prompt}{plain}")
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")


@app.command()
def chat(
    profile: ProfileOption = None,
    tokens: TokensOption = 120,
    temperature: TemperatureOption = 0.8,
    top_p: TopPOption = 0.95,
    top_k: TopKOption = 0,
    seed: SeedOption = 1,
    weights: WeightsOption = AVERAGED,
) -> None:
    """Write a text in turns with the latest model: it is a base model, so it goes on with yours and answers nothing."""
    from pipeline.cli.writing.chat import chat as take_turns

    sampling = _sampling(tokens, temperature, top_p, top_k, seed)
    writer, facts = _load(open_store(profile), weights)
    take_turns(writer, sampling, facts, input, sys.stdout)


@app.command()
def serve(
    profile: ProfileOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help=f"Port on {ADDRESS}; 0 takes any free one.")] = PORT,
    weights: WeightsOption = AVERAGED,
) -> None:
    """A page on this machine (127.0.0.1 alone) on which the latest model goes on with your text; and its report."""
    from pipeline.cli.writing.server import Server

    store = open_store(profile)
    writer, facts = _load(store, weights)
    server = Server(writer, facts, lambda: _report_page(store), port)
    signal.signal(signal.SIGTERM, _interrupt)
    console.print(f"{server.url} - Ctrl-C ends it", highlight=False)
    try:
        server.serve_forever(poll_interval=0.1)
    except KeyboardInterrupt:
        console.print("stopped")
    finally:
        server.server_close()
    sys.stdout.flush()
    os._exit(0)  # a thread that still answers would be ended inside torch, which aborts the process


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _sampling(tokens: int, temperature: float, top_p: float, top_k: int, seed: int) -> Sampling:
    """The settings, checked before torch is loaded. Raises ConfigError."""
    from trainer.sampling import Sampling

    return Sampling(tokens, temperature, top_p, top_k, seed).checked()


def _report_page(store: Store) -> str:
    """The newest report of the store. Raises StoreError where there is none."""
    return (store.current(REPORT_KEY).path / REPORT_FILE).read_text(encoding="utf-8")


def _load(store: Store, weights: str) -> tuple[Writer, dict[str, str]]:
    from pipeline.cli.writing.model import facts_beside, load_writer

    artifact = store.current(MODEL_KEY)
    return load_writer(store, artifact, weights), facts_beside(store, artifact)
