"""How clients are told apart: a table for the engines, made from the configuration."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc as identity_calloc, free as identity_free_memory
from libc.string cimport memcpy

from cidr cimport (
    CIDR_NONE, CIDR_PREFIX_MAX, Cidr, Network, address_read, cidr_init,
)
from clients cimport ROW_KEY_BYTES, Clients, client_kind, clients_at
from identity cimport (
    FORWARDED_EITHER, FORWARDED_IGNORED, FORWARDED_STANDARD, FORWARDED_X,
    METHOD_ADDRESS, METHOD_HEADER, METHOD_NETWORK, METHOD_TOKEN, Identity, Target,
    identity_free,
)
from keymap cimport key_zero
from limits cimport HEADER_NAME_BYTES_MAX

from penstock.identity_rules import IdentityRules

MAX_HEADER_NAME_BYTES = HEADER_NAME_BYTES_MAX
METHOD_NUMBERS = {
    "token": METHOD_TOKEN, "header": METHOD_HEADER, "network": METHOD_NETWORK,
    "address": METHOD_ADDRESS}
FORWARDED_NUMBERS = {
    "auto": FORWARDED_EITHER, "forwarded": FORWARDED_STANDARD,
    "x-forwarded-for": FORWARDED_X, "none": FORWARDED_IGNORED}
# All v4-mapped addresses. No IPv6 network around them holds an IPv4 client: whoever
# trusts ::/0 does not speak of IPv4.
MAPPED = (bytes(10) + b"\xff\xff" + bytes(4), 96)


def checked_rules(rules):
    """``rules``, or ValueError that names what is wrong with them."""
    methods = list(rules.methods)
    if (len(set(methods)) != len(methods) or set(methods) - set(METHOD_NUMBERS)
            or "address" not in methods
            or methods.index("address") != len(methods) - 1):
        raise ValueError(
            f"identity.methods: {methods!r} are not different ones of "
            f"{', '.join(METHOD_NUMBERS)}, with address as the last")
    if rules.forwarded not in FORWARDED_NUMBERS:
        raise ValueError(
            f"identity.forwarded: {rules.forwarded!r} is not one of "
            f"{', '.join(FORWARDED_NUMBERS)}")
    if len(rules.header) > HEADER_NAME_BYTES_MAX or not rules.header.isascii():
        raise ValueError(
            f"identity.header: at most {HEADER_NAME_BYTES_MAX} ASCII characters")
    for what in ("proxies", "clients", "groups"):
        listed = getattr(rules, what)
        networks = list(listed) if what == "proxies" else [n for n, _ in listed]
        if len(set(networks)) != len(networks):
            raise ValueError(f"identity.{what}: a network is listed twice")
        for first, prefix in networks:
            if len(first) != 16 or not 0 <= prefix <= CIDR_PREFIX_MAX:
                raise ValueError(f"identity.{what}: {first!r}/{prefix} is no network")
    return rules


cdef int build_cidr(Cidr* t, dict answers) except -1:
    """From network to answer."""
    cdef uint32_t n = 0
    cdef int rc
    cdef bytes first
    cdef Network* networks
    if answers:
        answers = {MAPPED: <uint32_t>CIDR_NONE} | answers
    networks = <Network*>identity_calloc(max(len(answers), 1), sizeof(Network))
    if networks == NULL:
        raise MemoryError("networks")
    for (first, prefix), answer in sorted(answers.items()):
        networks[n].first = address_read(<const uint8_t*>PyBytes_AS_STRING(first))
        networks[n].prefix = prefix
        networks[n].value = answer
        n += 1
    rc = cidr_init(t, networks, n)
    identity_free_memory(networks)
    if rc < 0:
        raise MemoryError("networks")
    return 0


cdef class IdentityTable:
    """An ``Identity``, as long as it is needed."""
    cdef Identity* of

    def __cinit__(self, rules, uint32_t version):
        cdef bytes header = rules.header.lower().encode("ascii")
        self.of = <Identity*>identity_calloc(1, sizeof(Identity))
        if self.of == NULL:
            raise MemoryError("identity")
        self.of.version = version
        for method in rules.methods:
            self.of.methods[self.of.methods_n] = METHOD_NUMBERS[method]
            self.of.methods_n += 1
        self.of.forwarded = FORWARDED_NUMBERS[rules.forwarded]
        self.of.header_n = <uint8_t>len(header)
        memcpy(self.of.header, PyBytes_AS_STRING(header), len(header))
        build_cidr(&self.of.proxies, dict.fromkeys(rules.proxies, 0))

    def __dealloc__(self):
        identity_free(self.of)

    cdef int lead_to_groups(self, rules, dict group_rows) except -1:
        build_cidr(
            &self.of.groups, {net: group_rows[name] for net, name in rules.groups})
        return 0

    cdef int lead_to_clients(self, rules, Clients* t, dict rows) except -1:
        """``rows``: of each client id, named."""
        cdef uint32_t i = 0
        cdef Target* target
        self.of.targets = <Target*>identity_calloc(
            max(len(rules.clients), 1), sizeof(Target))
        if self.of.targets == NULL:
            raise MemoryError("networks")
        answers = {}
        for net, client_id in rules.clients:
            target = &self.of.targets[i]
            target.row = rows[client_id]
            key_zero(&target.key, client_kind(clients_at(t, target.row)))
            memcpy(target.key.bytes, clients_at(t, target.row).key, ROW_KEY_BYTES)
            answers[net] = i
            i += 1
        build_cidr(&self.of.networks, answers)
        return 0
