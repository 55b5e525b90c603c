"""Pictures of an epoch's shards: what is read when, how long the documents are, how large the shards.

In: the statistics an epoch keeps (`pipeline.sharding.output.statistics`). Out: PNG bytes, as
`pipeline.reporting.plots` draws.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from pipeline.base.numbers import short
from pipeline.reporting.plots.stages import name_stages
from pipeline.reporting.plots.style import COLORS, INK, corpus_colors, figure_png, new_figure
from pipeline.sharding.output.statistics import Curve, ShardSize


def curve_png(curve: Curve, stages: Sequence[str], corpora: Sequence[str] = ()) -> bytes:
    """Share of each corpus in the tokens read, over the epoch.

    Args:
        stages: names of those in `curve`.
        corpora: all that the profile has.
    """
    figure, axes = new_figure(7.2, 3.0)
    ends = [0, *curve.tokens]
    sizes = [end - start for start, end in itertools.pairwise(ends)]
    bottoms = [0.0] * len(sizes)
    colors = corpus_colors(sorted(curve.sources), corpora)
    for name, tokens in sorted(curve.sources.items()):
        shares = [count / size for count, size in zip(tokens, sizes, strict=True)]
        axes.bar(
            ends[:-1], shares, width=sizes, bottom=bottoms, align="edge", color=colors[name], linewidth=0, label=name
        )
        bottoms = [bottom + share for bottom, share in zip(bottoms, shares, strict=True)]
    for end in curve.stages:
        axes.axvline(end, color=INK, linewidth=0.8)
    name_stages(axes, stages, curve.stages)
    axes.set_xlim(0, ends[-1])
    axes.set_ylim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: short(value))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel("tokens in the order they are read")
    axes.grid(visible=False)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02))
    return figure_png(figure)


def lengths_png(lengths: Sequence[int]) -> bytes:
    """Documents by length: `lengths[i]` of them have from 2^i to below 2^(i+1) tokens."""
    figure, axes = new_figure(7.2, 2.4)
    axes.bar(range(len(lengths)), lengths, width=0.9, align="edge", color=COLORS[0])
    axes.set_xticks(range(len(lengths) + 1), [short(2**i) for i in range(len(lengths) + 1)], fontsize=8)
    axes.yaxis.set_major_formatter(lambda value, _: short(value))
    axes.set_xlabel("tokens of a document")
    axes.set_ylabel("documents")
    axes.grid(axis="x", visible=False)
    return figure_png(figure)


def shards_png(shards: Sequence[ShardSize]) -> bytes:
    """Tokens of each shard, in reading order, coloured by stage (the folder in `path`)."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(7.2, 2.0)
    folder_of = [shard.path.split("/")[0] for shard in shards]
    folders = list(dict.fromkeys(folder_of))
    for folder, color in zip(folders, COLORS * 3, strict=False):
        places = [place for place, name in enumerate(folder_of) if name == folder]
        tokens = [shards[place].tokens for place in places]
        axes.bar(places, tokens, width=0.9, color=color, label=folder)
    axes.yaxis.set_major_formatter(lambda value, _: short(value))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("shard, in the order they are read")
    axes.set_ylabel("tokens")
    axes.grid(axis="x", visible=False)
    if len(folders) > 1:
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02))
    return figure_png(figure)
