"""All that a profile of the hub reads, put on the imitated hub: its sources at the commits it pins, and benchmarks.

Text is made up of common words of each source's language, so that the language detector knows it.
"""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Final

from pipeline.profile.profile import Profile
from tests.hub.corpora import CORPORA, add_corpus
from tests.hub.repository import COMMIT
from tests.hub.server import Hub
from tests.hub.task_data import add_benchmarks

WORDS: Final = {
    "en": "the river and a house with many green trees stands near old stones where children often play while their "
    "mother reads long stories about kings who were lost in winter but found bread in the morning",
    "fr": "la rivière et une maison avec beaucoup d'arbres verts se trouve près des vieilles pierres où les enfants "
    "jouent souvent pendant que leur mère raconte une longue histoire dans le jardin avant le soir",
    "de": "der Fluss und ein Haus mit vielen grünen Bäumen steht neben alten Steinen wo die Kinder oft spielen "
    "während ihre Mutter eine lange Geschichte über den König erzählt der im Winter nicht nach Hause kam",
    "es": "el río y una casa con muchos árboles verdes está cerca de las viejas piedras donde los niños juegan a "
    "menudo mientras su madre cuenta una larga historia sobre el rey que no volvió en invierno",
    "ar": "النهر والبيت مع كثير من الأشجار الخضراء يقع بالقرب من الحجارة القديمة حيث يلعب الأطفال كثيرا بينما تحكي "
    "أمهم قصة طويلة عن الملك الذي لم يرجع إلى بيته في الشتاء",
    "hi": "नदी और एक घर बहुत से हरे पेड़ों के साथ पुराने पत्थरों के पास है जहाँ बच्चे अक्सर खेलते हैं और उनकी माँ राजा की लंबी कहानी सुनाती है "
    "जो सर्दी में घर नहीं आया था",
    "sw": "mto na nyumba yenye miti mingi ya kijani iko karibu na mawe ya zamani ambapo watoto hucheza mara nyingi "
    "huku mama yao anasimulia hadithi ndefu kuhusu mfalme ambaye hakurudi nyumbani wakati wa baridi",
}


def text(lang: str, words: int, made: random.Random) -> str:
    """Sentences of a language's words, with a number in each so that no two texts are near duplicates."""
    known, sentences = WORDS[lang].split(), []
    while words > 0:
        length = made.randint(8, 14)
        start = made.randrange(len(known) - 4)
        said = [*known[start : start + 4], *made.choices(known, k=length - 4)]
        sentences.append(f"{' '.join(said).capitalize()} {made.randrange(10**6)}.")
        words -= length
    return " ".join(sentences)


def add_profile(hub: Hub, profile: Profile, folder: Path, *, documents: int, words: int) -> None:
    """Put on the hub what the profile reads. documents: of each source, each of about so many words."""
    texts: dict[str, dict[str, list[str]]] = {}
    commits = {}
    for corpus in profile.corpora.values():
        for source in corpus.sources:
            if source.hub is not None:
                config = source.hub.config or "default"
                made = random.Random(f"{source.hub.id} {config}")
                said = [text(source.lang or "en", words, made) for _ in range(documents)]
                texts.setdefault(source.hub.id, {})[config] = said
                commits[source.hub.id] = source.hub.revision
    for dataset, of_configs in texts.items():
        corpus = dataclasses.replace(CORPORA[dataset], configs=tuple(of_configs))
        add_corpus(hub, corpus, folder, texts=of_configs, group_rows=20)
        repository = hub.state.repositories[dataset]
        repository.move(repository.commits[COMMIT], commits[dataset])
    add_benchmarks(hub, folder)
