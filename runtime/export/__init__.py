"""Forms that trained models leave in: what an export format gets, the formats, and the file of a bundle."""
