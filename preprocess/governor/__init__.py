"""Admission, not detection: budgets of disk and memory that hold. The policy decides, the watchdog enacts."""
