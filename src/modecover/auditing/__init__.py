"""The audit: samples of any generator against real data, verdicts and what each of them rests on."""
