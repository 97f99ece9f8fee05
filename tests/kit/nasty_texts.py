"""Texts that join, reorder, expand or hide something across any place where they may be cut."""

from __future__ import annotations

from hypothesis import strategies as st

ALPHABETS = (
    "aZ1._ -\n\t\r",
    "the Don't 3.14 it's \r\n",
    "  \u3000\xa0\t\n",
    "中国語。，あが\u3099ﾊﾞﾞ",
    "ภาษา๕ั้",
    "é\u0301e\u0327ßİıǅﬁ\ufdfa\u0344",
    "\u200d\u200b\u00ad\u0640",
    "한ᄒ하ᅡᆫㄳﾡￂ",
    "😀😃👩\u200d🚀👍🏽",
    "الْعَرَبِ",
    "\u0995\u09be\u0cc2\u0f71\u0f73\u0d4e",
    "\x00\x01\x7f\xa0\u3000½①Ⅳ㎏㌀\U0001d165",
    '{"a":[1,-2.5e3]}<|>&\'#/\\',
)

any_text = st.text(st.characters(codec="utf-8"))  # all but lone surrogates
nasty_text = any_text | st.lists(
    st.sampled_from(ALPHABETS).flatmap(lambda some: st.text(some, max_size=24)), max_size=8
).map("".join)
