"""Every mail that accounts writes, as HTML: it says what its text says, and fetches nothing."""

import inspect
import re
from html.parser import HTMLParser

import pytest

from services.accounts import change_mails, letters, mails

pytestmark = pytest.mark.pure

HOSTILE = '<script>alert(1)</script> "><img src=https://evil.example/x> {{ 7 * 7 }} &amp;'
VOID = {"meta", "img", "br", "hr", "link", "input"}
GIVEN = {"hours": 24, "days": 7, "minutes": 60, "percent": 80, "used": 1600, "limit": 2000, "credits_remaining": 30}
GIVEN |= {"paid": True, "is_former": True}
MAILS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": write
    for module in (mails, change_mails)
    for name, write in inspect.getmembers(module, inspect.isfunction)
    if write.__module__ == module.__name__
}


class Page(HTMLParser):
    """What a mail program gets to see."""

    def __init__(self, html):
        super().__init__()
        self.links, self.tags, self.attributes, self.words, self.open = [], [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.links += [value for name, value in attrs if name == "href"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def written(name):
    """The mail, with something for each of its parameters."""
    write = MAILS[name]
    links = {one: f"https://chat.example/{one}?token=t&x=1#sec_1" for one in parameters(write) if "link" in one}
    others = {
        one: GIVEN.get(one, True if one in ("paid", "is_former") else f"the {one}") for one in parameters(write)
    }
    return write(**{**others, **links})


def parameters(write):
    return inspect.signature(write).parameters


def rendered(mail):
    return letters.html(subject=mail.subject, text=mail.text, action=mail.action)


@pytest.mark.parametrize("name", MAILS)
class TestEveryMail:
    def test_has_the_links_of_its_text_and_no_others(self, name):
        mail = written(name)

        links = re.findall(r"https?://\S+", mail.text)

        assert set(Page(rendered(mail)).links) == set(links)
        assert bool(links) == any("link" in one for one in parameters(MAILS[name]))

    def test_says_all_that_its_text_says(self, name):
        mail = written(name)
        page = Page(rendered(mail))

        assert mail.subject in page.text
        for paragraph in mail.text.strip().split("\n\n"):
            assert " ".join(paragraph.split()) in page.text
        assert page.open == []

    def test_names_its_button_where_it_has_one(self, name):
        mail = written(name)

        assert bool(mail.action) == ("https://" in mail.text)
        assert mail.action in Page(rendered(mail)).text

    def test_fetches_nothing_and_runs_nothing(self, name):
        page, html = Page(rendered(written(name))), rendered(written(name))

        assert not {"img", "script", "link", "iframe", "object", "form", "video", "audio"} & set(page.tags)
        assert not [
            attribute for attribute, _value in page.attributes if attribute in ("src", "srcset", "background")
        ]
        assert not re.search(r"url\(|@import|@font-face", html)


class TestHtml:
    def test_escapes_whatever_stands_in_it(self):
        html = letters.html(
            subject=HOSTILE, text=f"Hello,\n\n{HOSTILE}\n\nhttps://x.example/{'<b>'}\n", action=HOSTILE
        )

        page = Page(html)
        assert not {"script", "img", "b"} & set(page.tags)
        assert page.text.count(HOSTILE) >= 3
        assert page.links == ["https://x.example/<b>"] * 2

    def test_makes_a_button_of_a_link_that_stands_alone_and_of_no_other(self):
        html = letters.html(subject="S", text="See https://x.example/in-a-line here.\n\njavascript:alert(1)\n")

        assert Page(html).links == []

    def test_can_still_write_a_mail_that_a_release_before_this_one_wanted(self):
        assert "Open the page" in Page(letters.html(subject="S", text="Hello,\n\nhttps://x.example/a\n")).text

    def test_is_readable_in_the_dark_and_says_its_language(self):
        html = letters.html(subject="S", text="Hello,\n")

        assert "prefers-color-scheme: dark" in html
        assert '<html lang="en"' in html
        assert html.count("<h1") == 1
        assert html.count("<table") == html.count('<table role="presentation"')
