"""The audit: samples of any generator against real data, five verdicts and what each of them rests on."""
