"""No text of unknown origin reaches Streamlit's markdown or HTML unescaped, in any module of ui/ and pages/.

The rule is read from the source: every text that is given to an element which renders markdown must be made of
constants, numbers, and what `plain` (markdown) or `html.escape` (HTML) made safe. A name in a module that is neither
is found here before a page can show it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st_

from survival.plots.labels import plain_figure
from ui.elements.escaping import JOINER, plain

ROOT = Path(__file__).resolve().parents[3]
FILES = [*sorted((ROOT / "ui").rglob("*.py")), *sorted((ROOT / "pages").glob("*.py")), ROOT / "app.py"]
# Elements that render markdown in their body or label, and those that do so in their options as well.
MARKDOWN = {
    *("markdown", "caption", "write", "title", "header", "subheader", "toast", "info", "warning", "error", "success"),
    *("expander", "popover", "metric", "badge", "status", "spinner", "progress", "button", "download_button"),
    *("link_button", "page_link", "form_submit_button", "checkbox", "toggle", "radio", "selectbox", "multiselect"),
    *(
        "pills",
        "segmented_control",
        "slider",
        "select_slider",
        "number_input",
        "text_input",
        "text_area",
        "file_uploader",
    ),
    *("camera_input", "date_input", "time_input", "tabs", "table", "dialog", "feedback", "chat_message"),
}
OPTIONS = {"pills", "segmented_control", "radio", "tabs"}
TEXTS = ("label", "body", "text", "help", "title", "caption", "captions", "delta")
# Functions whose result is safe: escapes, and formats of numbers.
SAFE_CALLS = {
    *("plain", "labelled", "trusted", "html.escape", "len", "int", "float", "round", "min", "max", "sum", "abs"),
    *("duration", "elapsed", "percent", "number", "ratio", "ordinal", "plain_time"),
    *("interval", "limits"),
    *("pictures.data_uri", "p_value"),
}
NUMERIC = re.compile(r"[-+ ]?,?\d*,?(\.\d+)?[degf%n]|,")  # a format that a text does not have
# In HTML: pictures as data URIs, colours of the palette, pieces of HTML that are checked where they are written.
PIECES = re.compile(
    r"uri|colours?(\.\w+)?|rule|gradient|sheet|''\.join\(\w+\)|_cell\(.*\)|"
    r"rows|cells|cell|body|heads?|top|less|told|small|shown|images?|source"
)
NOT_STREAMLIT = ("frames", "target", "log")
IGNORED_MODULES = {"pictures.py", "runner.py"}  # draw into pixels, write logs


def name_of(node: ast.AST) -> str:
    return ast.unparse(node) if isinstance(node, (ast.Name, ast.Attribute)) else ""


def constant_name(node: ast.AST) -> bool:
    """NAME, module.NAME: a constant of a module."""
    return isinstance(node, (ast.Name, ast.Attribute)) and name_of(node).rpartition(".")[2].isupper()


class Scope:
    """What the names of one function are bound to."""

    def __init__(self, function: ast.AST, functions: dict[str, ast.FunctionDef] | None = None) -> None:
        self.bound: dict[str, list[ast.AST]] = {}
        self.functions = functions or {}
        for node in ast.walk(function):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append"), args=[value]):
                    self.bound.setdefault(name, []).append(value)
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._bind(target, node.value)
            elif isinstance(node, (ast.AnnAssign, ast.NamedExpr, ast.AugAssign)) and node.value is not None:
                self._bind(node.target, node.value)
            elif isinstance(node, (ast.For, ast.comprehension)):
                self._each(node.target, node.iter)

    def _bind(self, target: ast.AST, value: ast.AST) -> None:
        if isinstance(target, ast.Name):
            self.bound.setdefault(target.id, []).append(value)
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for one, other in zip(target.elts, value.elts, strict=True):
                self._bind(one, other)
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.IfExp):
            self._bind(target, value.body)
            self._bind(target, value.orelse)
        elif isinstance(target, ast.Tuple):
            for one in target.elts:
                self._bind(one, ast.Name("unknown", ast.Load()))

    def _each(self, target: ast.AST, many: ast.AST) -> None:
        if isinstance(many, (ast.Tuple, ast.List)):
            for value in many.elts:
                self._bind(target, value)
        elif constant_name(many):
            for one in ast.walk(target):
                if isinstance(one, ast.Name):
                    self._bind(one, many)
        else:
            self._bind(target, ast.Name("unknown", ast.Load()))

    def safe(self, node: ast.AST | None, html: bool = False, seen: frozenset[str] = frozenset()) -> bool:
        again = lambda other: self.safe(other, html, seen)  # noqa: E731
        if constant_name(node) if node is not None else True:
            return True
        match node:
            case ast.Constant():
                return True
            case ast.JoinedStr(values=parts):
                return all(map(again, parts))
            case ast.FormattedValue(value=value, format_spec=spec):
                kind = "".join(str(p.value) for p in spec.values if isinstance(p, ast.Constant)) if spec else ""
                return bool(kind and NUMERIC.fullmatch(kind)) or again(value) or (html and in_style(node))
            case ast.BinOp(left=left, right=right):
                return again(left) and again(right)
            case ast.BoolOp(values=values):
                return all(map(again, values))
            case ast.IfExp(body=body, orelse=other):
                return again(body) and again(other)
            case ast.Tuple(elts=elts) | ast.List(elts=elts):
                return all(map(again, elts))
            case ast.Dict(values=values):
                return all(map(again, values))
            case ast.Subscript(value=value):
                return constant_name(value) or again(value)
            case ast.GeneratorExp(elt=elt) | ast.ListComp(elt=elt):
                return again(elt)
            case ast.Lambda(body=body):
                return again(body)
            case ast.Call(func=ast.Attribute(value=between, attr="join"), args=[parts]):
                return again(between) and again(parts)
            case ast.Call(func=ast.Attribute(value=value, attr="format" | "rstrip" | "strip"), args=given):
                return (constant_name(value) or again(value)) and all(map(again, given))
            case ast.Call(func=ast.Attribute(value=value, attr="get"), args=[_, *other]) if constant_name(value):
                return all(map(again, other))
            case ast.Call(func=function) if name_of(function) in self.functions and name_of(function) not in seen:
                made = self.functions[name_of(function)]
                inner = Scope(made, self.functions)
                given = [n.value for n in ast.walk(made) if isinstance(n, ast.Return)]
                return all(inner.safe(value, html, seen | {made.name}) for value in given)
            case ast.Call(func=ast.Name(id="list" | "tuple" | "sorted"), args=[value]):
                return again(value)
            case ast.Call(func=function):
                return name_of(function) in SAFE_CALLS
            case ast.Name(id="plain" | "plain_time"):
                return True  # as a format_func
            case ast.Name(id=name) if name in self.bound and name not in seen:
                return all(self.safe(value, html, seen | {name}) for value in self.bound[name])
        return False


def is_tag(part: ast.AST) -> bool:
    return isinstance(part, ast.Constant) and re.search(r"<[A-Za-z]", str(part.value)) is not None


def in_style(part: ast.AST) -> bool:
    """A colour of the palette, or a picture made here."""
    return isinstance(part, ast.FormattedValue) and bool(PIECES.fullmatch(ast.unparse(part.value)))


def texts_of(call: ast.Call) -> Iterator[ast.AST]:
    """The arguments of a Streamlit call that it renders."""
    assert isinstance(call.func, ast.Attribute)
    first = call.args[:1]
    if call.func.attr != "progress" and not (call.func.attr == "page_link" and first):
        yield from first
    if call.func.attr == "metric":
        yield from call.args[1:3]
    for keyword in call.keywords:
        if keyword.arg in TEXTS or (keyword.arg == "value" and call.func.attr == "metric"):
            yield keyword.value
        if keyword.arg == "alt" and call.func.attr == "html":
            yield keyword.value
    if call.func.attr in OPTIONS:
        shown = [k.value for k in call.keywords if k.arg == "format_func"]
        options = [*call.args[1:2], *(k.value for k in call.keywords if k.arg == "options")]
        yield from shown or options


def findings(source: str) -> list[str]:
    """'line: text' of everything that is not provably safe."""
    tree = ast.parse(source)
    found = []
    functions = [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    inside = {id(n): f for f in functions for n in ast.walk(f)}
    named = {f.name: f for f in functions if isinstance(f, ast.FunctionDef)}
    module = Scope(tree, named)
    scopes = {id(f): Scope(f, named) for f in functions}
    for node in ast.walk(tree):
        scope = scopes[id(inside[id(node)])] if id(node) in inside else module
        if isinstance(node, ast.JoinedStr) and any(map(is_tag, node.values)):
            bad = [p for p in node.values if not (in_style(p) or scope.safe(p, html=True))]
            found += [f"{node.lineno}: HTML with {ast.unparse(a)[:90]}" for a in bad]
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        kind, owner = node.func.attr, name_of(node.func.value)
        if owner in ("html", "logger", "log", "ast", "file", "draw", "self") or owner.endswith(("file", "buffer")):
            continue
        if kind == "plotly_chart":
            bad = [a for a in node.args if not ast.unparse(a).startswith("plain_figure(")]
        elif kind in MARKDOWN and not (kind in ("write", "table") and owner in NOT_STREAMLIT):
            bad = [a for a in texts_of(node) if not scope.safe(a)]
        else:
            continue
        found += [f"{node.lineno}: {kind}({ast.unparse(a)[:90]})" for a in bad]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_every_text_that_is_rendered_is_escaped(file: Path) -> None:
    if file.name in IGNORED_MODULES:
        return
    found = findings(file.read_text(encoding="utf-8"))
    assert not found, "\n".join(f"{file.relative_to(ROOT)}:{line}" for line in found)


@pytest.mark.parametrize(
    "source",
    [
        "def f(name):\n    st.markdown(name)",
        "def f(name):\n    st.markdown(f'**{name}**')",
        "def f(error):\n    st.error(str(error))",
        "def f(table):\n    for column in table:\n        st.checkbox(column)",
        "def f(name):\n    told = f'about {name}'\n    st.warning('x', title=told)",
        "def f(row):\n    st.metric('x', row['value'])",
        "def f(row):\n    st.metric('x', 1, help=row.help)",
        "def f(names):\n    st.pills('x', names)",
        "def f(names, d):\n    st.pills('x', names, format_func=lambda n: d[n])",
        "def f(names):\n    st.info(', '.join(names))",
        "def f(x):\n    st.html(f'<p>{x}</p>')",
        "def f(x):\n    left.html(f'<img alt=\"{plain(x) if x else x}\">')",
        "def f(x):\n    return f'<b>{x}</b>'",
        "def f(figure):\n    st.plotly_chart(figure)",
        "def f(x):\n    st.progress(0.5, text=x.sentence)",
        "def f(x):\n    with st.expander(x.name):\n        pass",
    ],
)
def test_the_rule_sees_a_text_that_is_not_escaped(source: str) -> None:
    assert findings(source)


def test_the_rule_lets_safe_texts_pass() -> None:
    assert not findings(
        "def f(x, n):\n"
        "    st.markdown(f'**{plain(x)}** of {n:,} ({n:.2f} s)' + GLOSSARY['C'])\n"
        "    st.html(f'<p>{html.escape(x)}</p>')\n"
        "    told = plain(x) if n else 'nothing'\n"
        "    st.warning(told, title=TITLE)\n"
        "    st.pills('x', n, format_func=lambda name: plain(name))\n"
        "    for label in ('a', 'b'):\n"
        "        st.button(label)\n"
    )


HOSTILE = (
    "![x](http://127.0.0.1:9/h.png)",
    "[x](http://127.0.0.1:9/)",
    "[x]: http://127.0.0.1:9/",
    "<img src=http://127.0.0.1:9/h.png onerror=alert(1)>",
    "<http://127.0.0.1:9/>",
    "http://127.0.0.1:9/a www.example.org someone@example.org",
    "$x^2$ and $$y$$",
    ":red[x] :material/home: :smile: :+1: :streamlit: :small[x]{a=b} :rainbow-background[x]",
    "**bold** _slanted_ __bold__ ~~gone~~ `code",
    "# heading",
    "- item",
    "1. item",
    "> quoted",
    "    code",
    "a\n\n# b\n| a | b |\n|---|---|\n| c | d |",
    "a -> b <- c -- d >= e <= f <-> g",
    "&lt;b&gt; &amp; &#33;[x](http://127.0.0.1:9/)",
    "\\![x](y) \\\\",
    "``![x](http://127.0.0.1:9/h.png)``",
    "time_months a*b*c x_1 5 < 6 & 7",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_plain_text_holds_nothing_that_markdown_knows(text: str) -> None:
    """By the rules of CommonMark: no pattern is left outside backslashes."""
    line = plain(text)
    assert "\n" not in line
    bare = re.sub(r"`[^`\n]+`", "", line)
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", bare)  # what a backslash makes literal
    assert not re.search(r"[`*~$\[\]]|<[A-Za-z/!?]|&#?\w+;|://|:[A-Za-z+_-]|www\.|@\w", bare), line
    assert not re.match(r"\s{4}|#{1,6}(\s|$)|>|[-+](\s|$)|\d+[.)](\s|$)", bare), line
    shown = line.replace(JOINER, "").replace("\\", "")
    assert shown.replace(" ", "") == re.sub(r"\s", "", text).replace("\\", "")


@given(st_.text(max_size=60))
def test_any_text_is_one_line_and_loses_nothing(text: str) -> None:
    line = plain(text)
    assert "\n" not in line
    assert "\r" not in line
    kept = re.sub(r"[\s\x00-\x1f\x7f\u2028\u2029\\]|" + JOINER, "", line)
    assert kept == re.sub(r"[\s\x00-\x1f\x7f\u2028\u2029\\]|" + JOINER, "", text)


def test_our_own_sentences_keep_their_words() -> None:
    for sentence in (
        "The model of demo was fitted with another checkpoint; run `python -m study embed` and `fit` again.",
        "Keep the reason to one line of 200 characters.",
        "patients.csv, row 3: the age -99 is outside 0 to 120.",
        "C 0.67 (95 % CI 0.65 to 0.70), p < 0.001",
    ):
        assert plain(sentence) == sentence


def test_labels_of_a_figure_hold_no_link() -> None:
    evil = '<a href="http://127.0.0.1:9/">x</a><b>bold</b><img src=x>'
    clean = '&lt;a href="http://127.0.0.1:9/">x&lt;/a><b>bold</b>&lt;img src=x>'
    figure = go.Figure(go.Scatter(x=[1, 2], y=[evil, "b"], name=evil, text=[evil, None], hovertemplate=evil))
    figure.update_layout(title=evil, legend_title_text=evil, annotations=[{"text": evil}])
    figure.update_xaxes(title=evil, ticktext=[evil], tickvals=[1])
    text = plain_figure(figure).to_json()
    assert "<a " not in text.replace("\\u003c", "<")
    assert figure.data[0].name == figure.layout.title.text == figure.layout.annotations[0].text == clean
    assert figure.data[0].y[0] == figure.layout.xaxis.ticktext[0] == clean
    assert list(figure.data[0].x) == [1, 2]
