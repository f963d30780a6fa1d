extension CommandSpecification {
    static let cluster = CommandSpecification(
        .container,
        name: "cluster",
        flags: fastFlags,
        categories: ["@slow"],
        group: "cluster",
        summary: "Who serves which users, for clients that know Redis Cluster.",
        complexity: "Depends on the subcommand",
        reply: okReply,
        subcommands: [
            sub(
                .clusterInfo,
                summary: "State of the cluster, as lines of `name:value`.",
                reply: ("bulk string", "verbatim string")
            ),
            sub(
                .clusterKeySlot,
                summary: "Slot of a key: CRC16 mod 16384, hash tags honoured.",
                complexity: "O(bytes of the key)",
                arguments: [.string("key")],
                reply: ("integer", "integer")
            ),
            sub(
                .clusterMyID,
                summary: "Id of this node, 40 hexadecimal digits.",
                reply: ("bulk string", "bulk string")
            ),
            sub(
                .clusterNodes,
                summary: "A line for each node: id, address, role and slots. Needs `--cluster`.",
                complexity: "O(nodes)",
                reply: ("bulk string", "verbatim string")
            ),
            sub(
                .clusterShards,
                summary: "Of each shard its slots and its nodes with role and health. Needs `--cluster`.",
                complexity: "O(nodes)",
                reply: ("array of flat arrays", "array of maps")
            ),
            sub(
                .clusterSlots,
                summary:
                    "Of each range of slots its nodes, of which the first is to be asked: the first replica of the shard that "
                    + "is well. Needs `--cluster`.",
                complexity: "O(nodes)",
                reply: ("array of arrays", "array of arrays")
            ),
            help(of: "cluster"),
        ]
    )

    static let acl = CommandSpecification(
        .container,
        name: "acl",
        flags: fastFlags,
        categories: ["@slow"],
        group: "server",
        summary: "For clients that ask who they are.",
        complexity: "Depends on the subcommand",
        reply: okReply,
        subcommands: [
            sub(
                .aclWhoAmI,
                summary: "Name of the one user, `default`.",
                reply: ("bulk string", "bulk string")
            ),
            help(of: "acl"),
        ]
    )
}
