"""Tables at the terminal."""

from pipeline.cli.terminal import print_rows


def test_a_table_has_the_columns_of_every_row_and_a_dash_where_a_row_lacks_one(capsys):
    print_rows("scores", [{"text": "books", "gzip": 2.9}, {"text": "web", "xz": 2.5}])
    printed = capsys.readouterr().out.split()
    assert printed == ["scores", "text", "gzip", "xz", "books", "2.9", "-", "web", "-", "2.5"]
