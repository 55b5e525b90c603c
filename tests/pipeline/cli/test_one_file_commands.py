"""`squeeze export --bits` and `squeeze score`: a model in one file, out of the store and back."""


def test_a_file_of_few_bits_is_written_once_and_never_over_another(squeeze, tmp_path):
    file = tmp_path / "small.xz"
    done = squeeze("export", "--bits", "4", "--method", "nearest", "--out", str(file))
    assert done.returncode == 0, done.stderr
    said = done.stdout.decode()
    assert f"{file}: " in said
    assert "with the tokenizer, 1/" in said
    assert file.stat().st_size < 12_000
    again = squeeze("export", "--bits", "4", "--method", "nearest", "--out", str(file))
    assert again.returncode == 1
    assert b"exists already" in again.stderr


def test_what_it_cannot_do_it_says(squeeze, tmp_path):
    wrong = squeeze("export", "--bits", "4", "--push-to-hub", "me/x")
    assert b"--bits writes one file: name it with --out FILE" in wrong.stderr
    wrong = squeeze("export", "--bits", "4", "--out", str(tmp_path / "m"))
    assert b"was not trained on shards of the store" in wrong.stderr
    assert not (tmp_path / "m").exists()
