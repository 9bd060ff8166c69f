"""Names and descriptions of what travels with the package."""

from mlreco import shipped


def test_a_description_is_the_first_sentence_of_the_comment_whole(tmp_path):
    texts = {
        "# One line of x.cfg.\nmodel:\n": "One line of x.cfg.",
        "# A sentence that\n# goes on. Another one.\nmodel:\n": "A sentence that goes on.",
        "# What it does, as shown:\n#   mlreco train x -s y\n# More.\n": "What it does, as shown",
        "model:\n# A comment elsewhere.\n": "",
    }
    path = tmp_path / "x.cfg"
    for text, expected in texts.items():
        path.write_text(text)
        assert shipped.description(path) == expected


def test_every_configuration_describes_itself_in_a_line():
    for path in shipped.configurations().values():
        assert 20 < len(shipped.description(path)) < 160
