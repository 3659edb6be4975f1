from pathlib import Path

from assay.control.claims import claims
from assay.core.claim import Record

ROOT = Path(__file__).parents[2]


class TestClaims:
    def test_each_is_on_record_as_it_stands(self):
        for claim in claims:
            record = Record.read(ROOT / "claims" / "records" / f"{claim.name}.json")
            assert (record.statement, record.source) == (claim.statement, claim.source)
            assert [p["prediction"] for p in record.predictions] == [str(p) for p in claim.predictions]
            assert record.finding == claim.finding
            assert len(record.seeds) >= 5
            if record.verdict != "supported":
                assert claim.finding

    def test_names_and_quantities(self):
        quick = {"control/truncation-is-in-between", "control/episodes-must-be-long-enough"}
        for claim in claims:
            assert claim.name.startswith("control/")
            assert claim.source
            assert claim.shrunk
            if claim.name in quick:
                values = claim.measure(3, "smoke")
                for prediction in claim.predictions:
                    assert prediction.verdict({k: [v, v] for k, v in values.items()}) == "supported"
