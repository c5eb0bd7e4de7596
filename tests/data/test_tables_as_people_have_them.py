"""Tables as people have them: read as pandas reads them when it is told everything, or refused in a sentence."""

from __future__ import annotations

import bz2
import csv
import datetime
import decimal
import gzip
import io
import lzma

import numpy as np
import pandas as pd
import pytest

from reglab import ReglabError
from reglab.data import load

N = 60


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(0)
    return pd.DataFrame({
        "width": random.normal(10, 30, N).round(4),
        "count": random.integers(0, 90, N),
        "colour": np.array(["red", "blue", "grün"])[random.integers(0, 3, N)],
        "kind": np.where(np.arange(N) % 2, "ant", "bee"),
    })  # fmt: skip


@pytest.fixture(scope="module")
def plain(frame):
    """What the table is: numbers first, then a column a colour."""
    colours = [frame["colour"] == colour for colour in ("blue", "grün", "red")]
    return np.column_stack([frame["width"], frame["count"], *colours]).astype("float32")


@pytest.fixture
def read(tmp_path):
    """Return a function that writes content, a frame or text or bytes, and reads it."""

    def write_and_read(content, name="insects.csv", **options):
        path = tmp_path / name
        if isinstance(content, pd.DataFrame):
            content.to_parquet(path) if name.endswith(".parquet") else content.to_csv(path, index=False)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load(path, **{"target": "kind", **options})

    return write_and_read


def said(data, *phrases):
    return all(any(phrase in note for note in data.notes) for phrase in phrases)


# --- dialects ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "dialect", "encoding", "phrases"),
    [
        ("a.csv", {}, "utf-8", ()),
        ("a.csv", {}, "utf-8-sig", ()),
        ("a.csv", {"lineterminator": "\r\n"}, "utf-8", ()),
        ("a.csv", {"sep": ";"}, "utf-8", ("separated by ';'",)),
        ("a.csv", {"sep": "|"}, "utf-8", ("separated by '|'",)),
        ("a.csv", {"sep": "\t"}, "utf-8", ("separated by a tab",)),
        ("a.tsv", {"sep": "\t"}, "utf-8", ("separated by a tab",)),
        ("a.csv", {"sep": ";", "decimal": ","}, "utf-8", ("separated by ';'", "decimal commas")),
        ("a.csv", {"decimal": ","}, "utf-8", ("decimal commas",)),  # quoted
        ("a.csv", {"quoting": csv.QUOTE_ALL}, "utf-8", ()),
        ("a.csv", {}, "cp1252", ("Windows-1252, as in 'grün'",)),
        ("a.csv", {"sep": ";"}, "latin-1", ("Windows-1252", "separated by ';'")),
        ("a.csv", {"sep": "\t"}, "utf-16", ("UTF-16", "separated by a tab")),
    ],
)
def test_dialects_are_recognized_and_said(frame, plain, read, name, dialect, encoding, phrases):
    data = read(frame.to_csv(index=False, **dialect).encode(encoding), name)
    np.testing.assert_array_equal(data.x, plain)
    assert data.feature_names == ("width", "count", "colour_blue", "colour_grün", "colour_red")
    assert data.class_names == ("ant", "bee")
    assert said(data, *phrases)
    assumptions = ("separated", "decimal", "Windows", "UTF-16")
    assert sum(any(word in note for word in assumptions) for note in data.notes) == len(phrases)


@pytest.mark.parametrize(
    ("dialect", "encoding", "options"),
    [
        ({"sep": ";", "decimal": ","}, "cp1250", {"separator": "semicolon", "decimal": ",", "encoding": "cp1250"}),
        ({"sep": "\t"}, "utf-8", {"separator": "\t"}),
        ({"sep": " "}, "utf-8", {"separator": "space"}),
        ({"sep": "~"}, "utf-8", {"separator": "~"}),
        ({}, "utf-8-sig", {"encoding": "UTF8"}),
        ({}, "mac_roman", {"encoding": "mac_roman"}),
    ],
)
def test_what_is_said_by_options_is_not_assumed(frame, plain, read, dialect, encoding, options):
    data = read(frame.to_csv(index=False, **dialect).encode(encoding), **options)
    np.testing.assert_array_equal(data.x, plain)
    assert "colour_grün" in data.feature_names
    assert len(data.notes) == 1  # of the colours


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".csv.gz", gzip.compress), (".csv.bz2", bz2.compress), (".tsv.xz", lzma.compress)]
)
def test_packed_tables(frame, plain, read, suffix, pack):
    data = read(pack(frame.to_csv(index=False, sep="\t" if "tsv" in suffix else ",").encode()), f"insects{suffix}")
    np.testing.assert_array_equal(data.x, plain)
    assert data.name == "insects"


def test_excels_line_about_the_separator_is_no_header(frame, plain, read):
    text = "sep=;\r\n" + frame.to_csv(index=False, sep=";", decimal=",", lineterminator="\r\n")
    np.testing.assert_array_equal(read(text).x, plain)


def test_lines_that_end_in_a_separator_shift_no_column(frame, plain, read):
    header, *rows = frame.to_csv(index=False).splitlines()
    data = read("\n".join([header, *(f"{row}," for row in rows)]))
    np.testing.assert_array_equal(data.x, plain)
    assert said(data, "ends in ','")
    data = read("\n".join([f"{header},", *(f"{row}," for row in rows)]))
    np.testing.assert_array_equal(data.x, plain)
    assert said(data, "'Unnamed: 4' was left out: it has no values")


def test_names_of_rows_as_r_writes_them_are_left_out(frame, plain, read):
    header, *rows = frame.to_csv(index=False).splitlines()
    data = read("\n".join([header, *(f'"{i}",{row}' for i, row in enumerate(rows))]))
    np.testing.assert_array_equal(data.x, plain)
    assert said(data, "'Unnamed: 0' was left out")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda text: text + "1,2,3\n", {}, r"line 62: 3 values for 4 columns separated by ','"),
        (lambda text: text, {"separator": ";"}, r"no column 'kind'.*another sign \(--separator\)"),
        (lambda text: text, {"separator": "ab"}, r"separator='ab' is not possible"),
        (lambda text: text, {"encoding": "utf-99"}, r"no encoding 'utf-99'"),
        (lambda text: text, {"encoding": "ascii"}, r"line \d+: byte 0xc3 is not ascii"),
        (lambda text: text, {"decimal": ","}, r"'width' has numbers such as '.*', which have no decimal comma"),
        (lambda text: text, {"decimal": ";"}, r"decimal=';' is not possible"),
        (lambda text: text, {"seperator": ";"}, r"no option 'seperator'. Did you mean 'separator'"),
        (lambda text: text.replace("grün", "żółty").encode("cp1250"), {}, r"as Windows-1252.*would read '¿ó³ty'"),
        (lambda text: text.replace("grün", "зелёный").encode("cp1251"), {}, r"as Windows-1252.*would read"),
        (lambda text: text.replace("grün", "绿色").encode("gbk"), {}, r"not UTF-8.*--encoding"),
        (lambda text: text.replace("grün", "みどりいろ").encode("shift-jis"), {}, r"not UTF-8.*--encoding"),
        (lambda text: text.encode("utf-16-le"), {}, r"it is not text"),
        (lambda text: text.encode()[:400] + b"\xe4" + text.encode()[400:], {}, r"0xe4 is no UTF-8, and the rest"),
        (lambda text: text.split("\n", 1)[1], {}, r"no column 'kind'"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_surely_is_refused(frame, read, change, options, message):
    with pytest.raises(ReglabError, match=message):
        read(change(frame.to_csv(index=False)), **options)


def test_two_ways_to_separate_columns_are_asked_about(read):
    text = "a;b,kind;c,kind\n" + "1;2,ant;3,x\n2;1,bee;4,y\n" * 5
    with pytest.raises(ReglabError, match=r"separated by ',' .* or ';' .*--separator"):
        read(text, target="other")
    assert read(text, separator=",").class_names == ("x", "y")


def test_a_first_line_of_values_is_told(read):
    with pytest.raises(ReglabError, match="These look as values"):
        read("1,2.5,3,ant\n" * 9)


def test_a_first_line_that_may_be_an_example_is_said(frame, read):
    header, *rows = frame.to_csv(index=False).splitlines()
    numbers = frame[["width", "count"]].assign(kind=frame["kind"]).to_csv(index=False, header=False)
    data = read(numbers, target=numbers.partition("\n")[0].rpartition(",")[2])
    assert len(data) == len(frame) - 1
    assert said(data, "is taken as names of columns; if it is an example, put names above it")
    assert not said(read("\n".join([header, *rows])), "is taken as names")


def test_comments_above_the_names_are_left_out_and_lines_keep_their_numbers(frame, plain, read):
    text = frame.to_csv(index=False)
    data = read("# measured by hand, in 2026\n#\n\n" + text)
    np.testing.assert_array_equal(data.x, plain)
    assert said(data, "comments above the names of columns were left out (2 of its lines begin with '#')")
    with pytest.raises(ReglabError, match=r"line 65: 3 values for 4 columns"):
        read("# a\n# b\n\n" + text + "1,2,3\n")
    marked = read("# a, note\n#" + text)
    assert marked.feature_names[0] == "#width"
    np.testing.assert_array_equal(marked.x, plain)


def test_numbers_that_stand_for_a_missing_value_are_said(frame, read):
    width = frame["width"].where(~frame.index.isin([3, 9, 20]), -999)
    data = read(frame.assign(width=width).to_csv(index=False))
    assert said(data, "'width' is -999 in 3 rows, far from all other values")
    assert len(data) == len(frame)


def test_what_is_packed_wrongly_or_no_table_at_all(frame, read, tmp_path):
    with pytest.raises(ReglabError, match="cannot be unpacked"):
        read(frame.to_csv(index=False), "insects.csv.gz")
    with pytest.raises(ReglabError, match=r"is a spreadsheet.*Save the sheet as CSV"):
        read(b"PK", "insects.xlsx")
    with pytest.raises(ReglabError, match=r"separator: said of a table, and 'digits' is none"):
        load("digits", separator=";")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ReglabError, match=r"folder\.csv cannot be read as a table"):
        load(tmp_path / "folder.csv", target="kind")


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "expected", "phrase"),
    [
        ("1,5 2,25 1.234,5 7", [1.5, 2.25, 1234.5, 7], "decimal commas"),
        ("1,234.5 2,000.25 7 1e3", [1234.5, 2000.25, 7, 1000], ""),
        ("1,234,567 2,000,000 7 8", [1234567, 2e6, 7, 8], ""),
        ("1'234.5 2'000.25 7 8", [1234.5, 2000.25, 7, 8], ""),
        ("1\u202f234,5 2\u00a0000,25 7 8", [1234.5, 2000.25, 7, 8], "decimal commas"),
        ("$5 $1,200.50 -$3 ($4)", [5, 1200.5, -3, -4], "'$' beside it was taken off"),
        ("5_€ 1.200,50_€ -3_€ 0,5_€", [5, 1200.5, -3, 0.5], "'€' beside it"),
        ("EUR_5 EUR_6.5 EUR_7 EUR_8", [5, 6.5, 7, 8], "'EUR' beside it"),
        ("5% 10.5_% 0% -3%", [5, 10.5, 0, -3], "'%' beside it"),
        ("\u22125 6,5 +7 ,5", [-5, 6.5, 7, 0.5], "decimal commas"),
    ],
)
def test_numbers_as_people_write_them(read, written, expected, phrase):
    texts = [text.replace("_", " ") for text in written.split(" ")]
    table = pd.DataFrame({"n": texts * 3, "kind": ["ant", "bee", "ant"] * 4})
    data = read(table)
    assert data.feature_names == ("n",)
    np.testing.assert_allclose(data.x[:4, 0], expected)
    assert said(data, phrase) if phrase else not data.notes


def test_numbers_that_fit_two_notations_are_asked_about_or_read_as_the_rest_of_the_file(read):
    table = pd.DataFrame({"n": ["1,234", "5,678", "9,999"] * 4, "kind": ["ant", "bee"] * 6})
    with pytest.raises(ReglabError, match=r"'1,234' in column 'n' can be a number with decimals or with thousands"):
        read(table)
    assert read(table, decimal=",").x[0, 0] == np.float32(1.234)
    assert read(table, decimal=".").x[0, 0] == 1234
    data = read(table.assign(other=0.5 + np.arange(12)))
    assert data.x[0, 0] == 1234
    assert said(data, "numbers of 'n' have thousands, as in '1,234'")
    data = read(table.assign(other=["0,5", "1,5"] * 6))
    assert data.x[0, 0] == np.float32(1.234)


def test_points_are_thousands_where_the_file_has_decimal_commas(read):
    table = pd.DataFrame({"n": ["1.234", "5.678", "9.999"] * 4, "m": ["0,5", "1,5"] * 6, "kind": ["ant", "bee"] * 6})
    data = read(table.to_csv(index=False, sep=";"))
    assert data.x[:3, 0].tolist() == [1234, 5678, 9999]
    assert said(data, "numbers of 'm', 'n' have decimal commas")
    # a column that shows points itself has points
    mixed = read(table.assign(n=["1.5", "2.25", "3"] * 4).to_csv(index=False, sep=";"))
    assert mixed.x[:3, 0].tolist() == [1.5, 2.25, 3]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["1,5", "1.5"], r"'n' has numbers such as '1,5' and '1\.5', which are written in two ways"),
        (["5 %", "0.05"], r"numbers of column 'n' have '%', nothing beside them"),
        (["5 €", "$5"], r"have '€', '\$' beside them, so they are not of one unit"),
        ([*map(str, range(20)), "abc"], r"'n' has \d+ numbers and \d+ other texts: 'abc' \(\d+\).*--categorical n"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(read, texts, message):
    many = (texts * 42)[: 2 * (42 // 2)]
    table = pd.DataFrame({"n": many, "kind": ["ant", "bee"] * 21})
    with pytest.raises(ReglabError, match=message):
        read(table)
    assert read(table.assign(m=1.5), drop_columns="n").feature_names == ("m",)
    assert read(table, categorical="n").input_shape == (len(set(many)),)


@pytest.mark.parametrize("unit", [" kg", "ml", " m²", " km/h"])
def test_many_numbers_with_a_unit_are_numbers(read, unit):
    values = np.arange(N) * 1.25
    table = pd.DataFrame({"n": [f"{value}{unit}" for value in values], "kind": ["ant", "bee"] * (N // 2)})
    data = read(table)
    np.testing.assert_array_equal(data.x[:, 0], values)
    assert said(data, f"'{unit.strip()}' beside it was taken off")
    few = read(table.assign(n=[f"{i % 3}{unit}" for i in range(N)]))
    assert few.feature_names == tuple(f"n_{i}{unit}" for i in range(3))
    codes = table.assign(n=[f"{i}{'ab'[i % 2]}" for i in range(N)], m=1.5)
    assert read(codes).feature_names == ("m",)


def test_numbers_that_are_few_among_texts_stay_texts(read):
    table = pd.DataFrame({"doors": ["2", "3", "4", "5more"] * 5, "kind": ["ant", "bee"] * 10})
    data = read(table)
    assert data.feature_names == ("doors_2", "doors_3", "doors_4", "doors_5more")
    assert said(data, "one per text: 'doors' (4)")


def test_plain_numbers_are_what_pandas_reads(frame, read):
    random = np.random.default_rng(1)
    table = frame[["kind"]].assign(**{f"x{i}": random.lognormal(0, 9, N) for i in range(20)})
    text = table.to_csv(index=False)
    expected = pd.read_csv(io.StringIO(text)).drop(columns="kind").to_numpy()
    np.testing.assert_array_equal(read(text).x, expected.astype("float32"))


# --- missing values ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gaps(frame):
    table = frame.assign(count=frame["count"].astype(str), weight=np.arange(N) * 1.5)
    table.loc[[3, 7], "count"] = "?"
    table.loc[9, "count"] = "n.a."
    table.loc[9, "weight"] = np.nan
    return table


@pytest.mark.parametrize("name", ["insects.csv", "insects.parquet"])
def test_missing_values_are_refused_with_all_that_is_to_know(gaps, read, name):
    with pytest.raises(ReglabError) as caught:
        read(gaps, name)
    text = str(caught.value)
    place = "line 5" if name.endswith("csv") else "row 3 (counted from 0)"
    assert f"'count' in 3 of 60 rows ('?' 2 times, 'n.a.' once; the first is {place})" in text
    assert "'weight' in 1 of 60 rows (nothing once" in text
    for way in ("3 of 60 (--missing drop)", "--missing mean", "--drop-columns count,weight"):
        assert way in text


@pytest.mark.parametrize("sign", ["?", "-", "n.a.", "", "NA", "NULL", "--", " ", "#N/A", "None"])
def test_signs_of_a_missing_number_never_become_a_column(frame, read, sign):
    numbers = frame["width"].astype(str)
    numbers[5] = sign
    table = frame.assign(width=numbers)
    with pytest.raises(ReglabError, match=r"'width' in 1 of 60 rows"):
        read(table)
    assert read(table, missing="mean").feature_names[0] == "width"


def test_rows_with_missing_values_are_left_out_when_asked_for(gaps, read):
    data = read(gaps, missing="drop")
    kept = gaps.drop(index=[3, 7, 9])
    np.testing.assert_array_equal(data.x[:, 1], kept["count"].astype(float))
    np.testing.assert_array_equal(data.x[:, 2], kept["weight"])
    assert data.y.tolist() == (kept["kind"] == "bee").astype(int).tolist()
    assert said(data, "3 of 60 rows were left out")
    with pytest.raises(ReglabError, match="each row has a missing value"):
        read(gaps.assign(weight=[np.nan, 1] * 30, count=["1", "?"] * 30), missing="drop")


def test_missing_values_become_the_mean_of_the_training_split_and_of_nothing_else(gaps, read):
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from reglab.data.preprocess import Preprocess

    data = read(gaps, missing="mean")
    assert data.missing
    assert np.isnan(data.x).sum() == 4
    assert "nan" not in repr(data)
    train = np.r_[0:8, 20:60]
    fitted = Preprocess.fit(data.x[train], missing=True)
    imputed = SimpleImputer().fit_transform(data.x[train])
    filled = fitted(data.x)
    np.testing.assert_allclose(fitted.mean, imputed.mean(axis=0), rtol=1e-6)
    assert (filled[np.isnan(data.x)] == 0).all()
    whole = make_pipeline(SimpleImputer(), StandardScaler()).fit(data.x[train])
    # The deviation is of the values that there are; that of imputed ones is smaller.
    known = ~np.isnan(data.x[train][:, 1])
    ratio = np.std(data.x[train][known, 1]) / whole[1].scale_[1]
    np.testing.assert_allclose(filled[:, 1] * ratio, whole.transform(data.x)[:, 1], atol=1e-5)
    again = Preprocess.from_dict(fitted.to_dict())
    np.testing.assert_array_equal(again(data.x), filled)
    with pytest.raises(ReglabError, match="preprocess='rescale' does not know"):
        Preprocess.fit(data.x, "rescale", missing=True)


def test_a_column_without_values_in_training_is_zero():
    from reglab.data.preprocess import Preprocess

    fitted = Preprocess.fit(np.array([[1.0, np.nan], [3.0, np.nan]], "float32"), missing=True)
    np.testing.assert_array_equal(fitted(np.array([[2.0, np.nan], [np.nan, 5.0]], "float32")), [[0, 0], [0, 5]])


def test_words_for_nothing_can_be_a_class_or_a_text(frame, read):
    table = frame.assign(kind=np.where(frame["kind"] == "ant", "None", "bee"), alley=["NA", "grvl"] * 30)
    with pytest.raises(ReglabError, match=r"30 of 60 rows have no label in 'kind'.*--categorical kind"):
        read(table)
    data = read(table, categorical="kind,alley", keep_columns="alley")
    assert data.class_names == ("None", "bee")
    assert {"alley_NA", "alley_grvl"} <= set(data.feature_names)
    with pytest.raises(ReglabError, match="all examples have the label 'bee'"):
        read(table, categorical="alley", missing="drop")


def test_a_question_mark_among_texts_stays_one_and_is_said(frame, read):
    data = read(frame.assign(colour=["red", "?", "blue"] * 20))
    assert data.feature_names[2:] == ("colour_?", "colour_blue", "colour_red")
    assert said(data, "'colour' (3, '?' among them)")


# --- what is no feature -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["insects.csv", "insects.parquet"])
@pytest.mark.parametrize("count", [N, 2])
def test_dates_are_left_out_or_days(frame, plain, read, name, count):
    few = np.array(["2026-01-31T00:00", "1969-12-31T12:00"], "datetime64[s]")
    column = np.resize(few if count == 2 else pd.date_range("2020-02-28", periods=N).to_numpy(), N)
    table = frame.assign(when=column)
    data = read(table, name)
    np.testing.assert_array_equal(data.x, plain)
    assert said(data, "'when' was left out: it is a date (--keep-columns when")
    kept = read(table, name, keep_columns="when")
    assert kept.feature_names[2] == "when"
    days = (column - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")
    np.testing.assert_allclose(kept.x[:, 2], days, rtol=1e-6)
    table.loc[5, "when"] = None
    gap = read(table, name, keep_columns="when", missing="mean")
    np.testing.assert_allclose(gap.x[:, 2], np.where(np.arange(N) == 5, np.nan, days), rtol=1e-6)


@pytest.mark.parametrize(
    "form", ["%d.%m.%Y", "%m/%d/%Y %H:%M", "%d %b %Y", "%B %d, %Y", "%Y/%m/%d", "%H:%M", "%a %d %b %Y"]
)
def test_dates_of_every_form_are_no_texts(frame, plain, read, form):
    dates = pd.date_range("2020-03-01", periods=N, freq="37h").strftime(form)
    data = read(frame.assign(when=dates))
    np.testing.assert_array_equal(data.x, plain)
    assert said(data, "it is a date")
    if form[1] in "dm":
        with pytest.raises(ReglabError, match="day and month could change places"):
            read(frame.assign(when=dates), keep_columns="when")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Id", np.arange(N) + 100),
        ("PassengerId", np.random.default_rng(0).permutation(N)),
        ("row number", np.arange(N)),
        ("patient_id", [f"p{i // 2 if i < 4 else i}" for i in range(N)]),
        ("name", [f"Mr {i}" for i in range(N)]),
        ("ticket", [f"t{max(i, 3)}" for i in range(N)]),
        ("", np.arange(N)),
    ],
)
def test_identifiers_are_left_out_and_said(frame, plain, read, name, values):
    data = read(frame.assign(**{name: values}))
    np.testing.assert_array_equal(data.x, plain)
    assert said(data, "was left out", "--keep-columns")
    if name.isidentifier() and not isinstance(values, list):
        assert name in read(frame.assign(**{name: values}), keep_columns=[name]).feature_names


def test_a_table_with_the_index_that_pandas_wrote(frame, plain, read):
    np.testing.assert_array_equal(read(frame.to_csv()).x, plain)
    data = read(frame.rename_axis("specimen"), "insects.parquet")
    np.testing.assert_array_equal(data.x, plain)
    assert said(data, "'specimen', the index of the table, was left out") or len(data.notes) == 1


def test_what_only_looks_as_an_identifier_is_a_feature(frame, read):
    random = np.random.default_rng(0)
    table = frame.assign(grid=random.integers(0, 9, N), acid=random.normal(size=N), paid=random.integers(0, 2, N),
                         period_id=np.arange(N) % 4, step=np.arange(N))  # fmt: skip
    data = read(table)
    assert {"grid", "acid", "paid", "period_id", "step"} <= set(data.feature_names)
    assert said(data, "'step' counts the rows, and is a feature (--drop-columns step")


def test_a_copy_of_the_label_is_refused_and_what_tells_the_class_is_said(frame, read):
    table = frame.assign(kind_again=frame["kind"])
    with pytest.raises(ReglabError, match=r"'kind_again' is the label 'kind' once more.*--drop-columns kind_again"):
        read(table)
    assert "kind_again_ant" in read(table, keep_columns="kind_again").feature_names
    assert "kind_again_ant" not in read(table, drop_columns="kind_again").feature_names
    code = (frame["kind"] == "bee").astype(int)
    assert said(read(frame.assign(code=code)), "'code' tells the class of each row")
    with pytest.raises(ReglabError, match="'code' is the label 'kind' once more"):
        read(frame.assign(kind=code, code=code * 1.0))


def test_classes_that_differ_in_capitals_and_spaces(frame, read):
    table = frame.assign(kind=np.where(np.arange(N) % 3 == 0, "Ant", frame["kind"]))
    data = read(table)
    assert data.class_names == ("Ant", "ant", "bee")
    assert said(data, "the classes 'Ant', 'ant' differ in capital letters alone")
    assert read(frame.assign(kind=np.where(np.arange(N) % 3 == 0, frame["kind"] + " ", frame["kind"]))).num_classes == 2


def test_a_header_without_rows_is_told(frame, read):
    with pytest.raises(ReglabError, match="names of columns and no rows"):
        read(frame[:0])


def test_options_name_columns_that_there_are(frame, read):
    for option in ("drop_columns", "keep_columns", "categorical"):
        with pytest.raises(ReglabError, match=rf"no column 'widht' \({option}\)\. Did you mean 'width'"):
            read(frame, **{option: "widht"})
    with pytest.raises(ReglabError, match="holds the label"):
        read(frame, drop_columns="kind")
    odd = frame.rename(columns={"width": "width, mm"})
    assert "width, mm" not in read(odd, drop_columns=["width, mm"]).feature_names
    assert "width, mm" not in read(odd, drop_columns='"width, mm",count').feature_names


def test_options_stand_in_the_spec_and_are_read_from_it(frame, tmp_path):
    import yaml

    from reglab.study.spec import Settings, read_yaml

    options = {"separator": "\t", "decimal": ",", "encoding": "cp1252", "missing": "drop",
               "drop_columns": ["count", "x, y"], "target": "kind"}  # fmt: skip
    settings = Settings(**options)
    held = settings.to_dict()
    assert (held["separator"], held["drop_columns"]) == ("tab", 'count,"x, y"')
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({"data": "t.csv", **held}))
    again = Settings(**{key: value for key, value in read_yaml(tmp_path / "s.yaml").items() if key != "data"})
    assert again == settings
    frame.assign(**{"x, y": "?"}).to_csv(tmp_path / "t.csv", sep="\t", decimal=",", encoding="cp1252", index=False)
    assert load(tmp_path / "t.csv", target="kind", **again.table()).feature_names[0] == "width"
    with pytest.raises(ReglabError, match="preprocess='none' does not know"):
        Settings(missing="mean", preprocess="none")
    with pytest.raises(ReglabError, match="separator='abc' is not possible"):
        Settings(separator="abc")


# --- typed tables -----------------------------------------------------------------------------------------------------


def test_types_of_parquet(frame, plain, read):
    table = frame.assign(
        price=[decimal.Decimal("1.25") * i for i in range(N)],
        level=pd.Categorical(["lo", "hi"] * 30, ["lo", "mid", "hi"]),
        day=[datetime.date(2020, 1, 1 + i % 20) for i in range(N)], took=pd.to_timedelta(np.arange(N) % 7, "min"),
        flag=pd.array([True, False, True] * 20, "boolean"), part=pd.array(np.arange(N) % 5, "Int64"),
    )  # fmt: skip
    data = read(table, "insects.parquet")
    x = dict(zip(data.feature_names, data.x.T, strict=True))
    np.testing.assert_array_equal(x["price"], 1.25 * np.arange(N))
    np.testing.assert_array_equal(x["took"], 60.0 * (np.arange(N) % 7))
    np.testing.assert_array_equal(x["flag"], [1, 0, 1] * 20)
    np.testing.assert_array_equal(x["part"], np.arange(N) % 5)
    assert [name for name in data.feature_names if name.startswith("level")] == ["level_lo", "level_mid", "level_hi"]
    assert said(data, "'day' was left out: it is a date", "'took' is a duration, taken in seconds")


@pytest.mark.parametrize(("value", "word"), [([1, 2], "ndarray"), ({"a": 1}, "dict"), (b"raw", "bytes")])
def test_a_column_of_what_is_no_number_is_a_sentence(frame, read, value, word):
    with pytest.raises(ReglabError, match=rf"column 'odd' holds a {word} in each row.*--drop-columns odd"):
        read(frame.assign(odd=[value] * N), "insects.parquet")


# --- precision --------------------------------------------------------------------------------------------------------


def test_seconds_since_1970_tell_classes_apart_also_beside_a_gap(read):
    """Two groups a minute apart: float32 knows such numbers to 128 seconds."""
    from reglab.data.preprocess import Preprocess

    odd = np.arange(40) % 2 == 1
    table = pd.DataFrame({"t": 1_700_000_000 + 60 * odd, "w": np.arange(40) % 3 * 0.5, "kind": np.where(odd, "a", "b")})
    data = read(table)
    expected = np.where(odd, 1.0, -1.0)  # mean 30 and deviation 30 above the start
    np.testing.assert_allclose(Preprocess.fit(data.x)(data.x)[:, 0], expected, atol=1e-6)
    table["w"] = table["w"].astype(str)
    table.loc[5, "w"] = "?"
    table["t"] = table["t"].astype(str)
    table.loc[6, "t"] = "?"
    holes = read(table, missing="mean")
    filled = Preprocess.fit(holes.x, missing=True)(holes.x)[:, 0]
    assert abs(filled[0] - filled[1]) > 1.9
    assert filled[6] == 0
