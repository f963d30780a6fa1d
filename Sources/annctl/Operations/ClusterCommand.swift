import ArgumentParser

/// Looks after a cluster as a whole.
struct ClusterCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cluster",
        abstract: "Look after shards and replicas: status, check, reload.",
        subcommands: [ClusterStatusCommand.self, ClusterCheckCommand.self, ClusterReloadCommand.self]
    )
}
