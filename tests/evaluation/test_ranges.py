from vivavoce.evaluation.ranges import range_notes


def test_a_stream_is_told_of_where_more_than_one_value_in_a_thousand_is_outside() -> None:
    assert range_notes({}) == []
    assert range_notes({"voice": 0.0, "echo": 0.001}) == []
    (note,) = range_notes({"voice": 0.0, "echo": 0.0234})
    assert note.startswith("2.3 % of the echo features lie outside the range of the training data")
    assert "model.echo_norm" in note
    assert note.endswith(".")
    assert len(range_notes({"voice": 0.5, "echo": 1.0})) == 2
