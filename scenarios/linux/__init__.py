"""What did real kernels do, and in what do two of them differ?

recorded_kernels   finds the records, in a checkout or in the package, and reads them
kernel_rules       the table of rules that kernels do not share
kernel_differences observations that two kernels made otherwise, each with its rules
plain_records      a record in words
kernels_text       what ``lazynuma kernels`` prints
kernels_markdown   the same as a page, ``docs/kernels.md``
"""
