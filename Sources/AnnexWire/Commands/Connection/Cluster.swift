/// Names the words that follow `CLUSTER`; the raw value is the word in lower case.
package enum ClusterSubcommand: String, Sendable, CaseIterable {
    case info, keyslot, myid, nodes, shards, slots
}

/// Names the words that follow `ACL`; the raw value is the word in lower case.
package enum AclSubcommand: String, Sendable, CaseIterable {
    case whoami
}

extension CommandSpecification {
    static let cluster = CommandSpecification(
        .cluster,
        flags: fastFlags,
        categories: ["@slow"],
        group: "cluster",
        summary: "Who serves which users, for clients that know Redis Cluster.",
        complexity: "Depends on the subcommand",
        reply: okReply,
        subcommands: [
            sub(
                .cluster,
                ClusterSubcommand.info,
                summary: "State of the cluster, as lines of `name:value`.",
                reply: ("bulk string", "verbatim string")
            ),
            sub(
                .cluster,
                ClusterSubcommand.keyslot,
                summary: "Slot of a key: CRC16 mod 16384, hash tags honoured.",
                complexity: "O(bytes of the key)",
                arguments: [.string("key")],
                reply: ("integer", "integer")
            ),
            sub(
                .cluster,
                ClusterSubcommand.myid,
                summary: "Id of this node, 40 hexadecimal digits.",
                reply: ("bulk string", "bulk string")
            ),
            sub(
                .cluster,
                ClusterSubcommand.nodes,
                summary: "A line for each node: id, address, role and slots. Needs `--cluster`.",
                complexity: "O(nodes)",
                reply: ("bulk string", "verbatim string")
            ),
            sub(
                .cluster,
                ClusterSubcommand.shards,
                summary: "Of each shard its slots and its nodes with role and health. Needs `--cluster`.",
                complexity: "O(nodes)",
                reply: ("array of flat arrays", "array of maps")
            ),
            sub(
                .cluster,
                ClusterSubcommand.slots,
                summary:
                    "Of each range of slots its nodes, of which the first is to be asked: the first replica of the shard that "
                    + "is well. Needs `--cluster`.",
                complexity: "O(nodes)",
                reply: ("array of arrays", "array of arrays")
            ),
            help(.cluster),
        ]
    )

    static let acl = CommandSpecification(
        .acl,
        flags: fastFlags,
        categories: ["@slow"],
        group: "server",
        summary: "For clients that ask who they are.",
        complexity: "Depends on the subcommand",
        reply: okReply,
        subcommands: [
            sub(
                .acl,
                AclSubcommand.whoami,
                summary: "Name of the one user, `default`.",
                reply: ("bulk string", "bulk string")
            ),
            help(.acl),
        ]
    )
}
