# Counts the individual tests in ctest's LastTest.log and prints "passed failed skipped".
# A program that reports cases the cmocka way counts by its cases, one that died half-way has its
# unfinished case counted as failed, and any other entry of ctest counts as one test.

function finish_entry(verdict)
{
    if (cases == 0) {
        if (verdict == "Passed")
            passed++
        else
            failed++
    } else if (verdict == "Passed") {
        passed += cases - left_out
        skipped += left_out
    } else {
        bad = cases - ok - left_out
        # All cases fine, yet the program failed: a leak reported at its end, for example.
        if (bad == 0)
            bad = 1
        passed += ok
        skipped += left_out
        failed += bad
    }
    cases = ok = left_out = in_case = is_open = 0
}

# An entry without a verdict ran into its time limit.
/^[0-9]+\/[0-9]+ Testing: / {
    if (is_open)
        finish_entry("Failed")
    is_open = 1
}

/^\[ RUN      \] / { cases++; in_case = 1 }
/^\[       OK \] / && in_case { ok++; in_case = 0 }
/^\[  SKIPPED \] / && in_case { left_out++; in_case = 0 }
/^\[  FAILED  \] / && in_case { in_case = 0 }
/^Test Passed\.$/ { finish_entry("Passed") }
/^Test Failed\.$/ { finish_entry("Failed") }
END {
    if (is_open)
        finish_entry("Failed")
    print passed + 0, failed + 0, skipped + 0
}
