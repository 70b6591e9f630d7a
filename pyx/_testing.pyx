"""The engine's units for the tests: thin wrappers, one included file per part."""

include "_testing_http.pxi"
include "_testing_encodings.pxi"
include "_testing_shaping.pxi"
include "_testing_tree.pxi"
include "_testing_paying.pxi"
include "_testing_parser.pxi"
include "_testing_identity.pxi"
