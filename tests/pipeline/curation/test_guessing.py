"""An encoding is guessed by how text reads in it: what is named decodes the file into the text that was written."""

from __future__ import annotations

import pytest

from pipeline.curation.sources.guessing import cure_of_bad_bytes, guess_encoding

TEXTS = {
    "fr": "Où est déjà la forêt, près d'ici ? Les élèves écoutaient la maîtresse, qui parlait d'été et de neige.",
    "de": "Der Bäcker hörte früh am Morgen die Vögel über den Dächern und öffnete die Tür für die müden Gäste.",
    "es": "El niño soñaba con montañas y ríos; mañana iría con su compañero al jardín, ¿verdad?",
    "pl": "Żółte liście spadały na ścieżkę, a dzieci śpiewały pieśń o zimie, śniegu i ciepłym domu nad rzeką.",
    "cs": "Žluťoučký kůň běžel přes louku a děti zpívaly píseň o zimě, sněhu a teplém domě u řeky.",
    "hu": "Az öreg pék korán kelt, friss kenyeret sütött, és a gyerekek énekelve jöttek hozzá a hídon át.",
    "ru": "Старый пекарь вставал рано, пёк свежий хлеб, и дети с песнями приходили к нему через мост.",
    "uk": "Старий пекар вставав рано, пік свіжий хліб, і діти з піснями приходили до нього через міст.",
    "el": "Ο γέρος φούρναρης ξυπνούσε νωρίς, έψηνε φρέσκο ψωμί και τα παιδιά έρχονταν τραγουδώντας.",
    "tr": "Yaşlı fırıncı erken kalkar, taze ekmek pişirir ve çocuklar köprüden şarkı söyleyerek gelirdi.",
    "he": "האופה הזקן קם מוקדם, אפה לחם טרי, והילדים באו אליו בשירה על הגשר.",
    "ar": "كان الخباز العجوز يستيقظ مبكرا ويخبز الخبز الطازج، وكان الأطفال يأتون إليه وهم يغنون.",
    "th": "คนทำขนมปังแก่ตื่นแต่เช้า อบขนมปังสด และเด็ก ๆ ก็ร้องเพลงข้ามสะพานมาหาเขา",
    "ja": "年老いたパン屋は朝早く起きて、新しいパンを焼き、子供たちは歌いながら橋を渡ってやって来ました。",
    "zh": "老面包师很早就起床，烤新鲜的面包，孩子们唱着歌过桥来找他。今天天气很好，大家都很高兴。",
    "ko": "늙은 빵집 주인은 일찍 일어나 신선한 빵을 굽고, 아이들은 노래하며 다리를 건너 그에게 왔습니다.",
    "en": "The old baker rose early — “fresh bread!” he cried — and the children came over the bridge, singing.",
}
ENCODINGS = {
    "cp1252": "fr de es en",
    "latin-1": "fr de es",
    "mac-roman": "fr de",
    "cp850": "fr",
    "cp1250": "pl cs hu",
    "iso8859-2": "pl cs hu",
    "cp1251": "ru uk",
    "koi8-r": "ru",
    "cp866": "ru",
    "cp1253": "el",
    "cp1254": "tr",
    "cp1255": "he",
    "cp1256": "ar",
    "cp874": "th",
    "shift_jis": "ja",
    "euc-jp": "ja",
    "iso-2022-jp": "ja",
    "gb18030": "zh",
    "euc-kr": "ko",
    "utf-16-le": "en fr ru ja zh ar",
    "utf-16-be": "en ru zh",
    "utf-16": "en ja",
    "utf-32-le": "en ru",
    "utf-8": "fr ru ja",
    "utf-8-sig": "fr",
}


@pytest.mark.parametrize(("encoding", "lang"), [(name, lang) for name in ENCODINGS for lang in ENCODINGS[name].split()])
def test_the_encoding_that_is_named_gives_the_text_that_was_written(encoding: str, lang: str) -> None:
    data = (TEXTS[lang] + "\n").encode(encoding)
    guess = guess_encoding(data)
    assert guess is not None
    assert data.decode(guess.encoding).lstrip("\ufeff") == TEXTS[lang] + "\n"
    assert guess.language in (lang, "")


def test_a_beginning_may_end_in_the_middle_of_a_character() -> None:
    for encoding, lang in [("utf-8", "ja"), ("shift_jis", "ja"), ("gb18030", "zh"), ("utf-16-le", "ru")]:
        data = (TEXTS[lang] * 4).encode(encoding)[:151]
        guess = guess_encoding(data, whole=False)
        assert guess is not None
        assert guess.encoding == encoding


def test_what_reads_like_nothing_gets_no_guess() -> None:
    assert guess_encoding(bytes(range(128, 256)) * 20 + bytes(range(32)) * 9) is None
    assert "convert it to UTF-8" in cure_of_bad_bytes(bytes(range(128, 256)) * 20, "utf-8", whole=True)


def test_damaged_utf8_is_no_other_encoding() -> None:
    data = (TEXTS["fr"] * 5).encode()
    cure = cure_of_bad_bytes(data[:100] + b"\xff" + data[100:], "utf-8", whole=True)
    assert cure.startswith("it is UTF-8 but for 1 places")
