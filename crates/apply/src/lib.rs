//! Applying: transactions in, row groups out; and the loop that drives it.
