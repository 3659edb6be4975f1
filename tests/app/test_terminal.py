from assay.app.terminal import console, table


def test_a_pipe_is_wide_and_gets_texts_as_they_are(capsys):
    names = "a-rather-long-name-" * 6
    rows = table("method", "what")
    rows.add_row(names, "[bold]not markup[/bold] :smile:")
    console().print(rows)
    out = capsys.readouterr().out
    assert names in out
    assert "[bold]not markup[/bold] :smile:" in out
    assert "\x1b" not in out
