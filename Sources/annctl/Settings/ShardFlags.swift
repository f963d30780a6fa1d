import AnnexCore
import AnnexNode
import AnnexServer
import ArgumentParser

/// Describes the flags of `annctl serve`. Help, defaults, bounds and meaning come from the table of settings.
struct ShardFlags: ParsableArguments {
    @Option(help: .of(ServerSettings.host)) var host: String?
    @Option(help: .of(ServerSettings.port)) var port: String?
    @Option(help: .of(ShardTable.searching)) var engine: String?
    @Option(help: .of(ServerSettings.threads)) var threads: String?
    @Option(help: .of(ShardTable.passwordFile)) var passwordFile: String?
    @Option(help: .of(ServerSettings.maximumConnections)) var maxConnections: String?
    @Option(help: .of(ServerSettings.idleTimeout)) var idleTimeout: String?

    @Option(help: .of(ShardTable.state)) var state: String?
    @Option(help: .of(ShardTable.durability)) var durability: String?
    @Option(help: .of(ShardTable.log)) var log: String?
    @Option(help: .of(ShardTable.logPasswordFile)) var logPasswordFile: String?
    @Option(help: .of(ShardTable.acknowledgement)) var ack: String?
    @Option(help: .of(ShardTable.maximumLag)) var maxLag: String?
    @Option(help: .of(ShardTable.cold)) var cold: String?
    @Option(help: .of(ShardTable.coldHalfLife)) var coldHalfLife: String?
    @Option(help: .of(ShardTable.watch)) var watch: String?

    @Option(help: .of(ShardTable.topologyFile)) var cluster: String?
    @Option(help: .of(ShardTable.slots)) var slots: String?
    @Option(help: .of(ShardTable.announce)) var announce: String?

    func validate() throws {
        guard self.cluster != nil || (self.slots == nil && self.announce == nil) else {
            throw ValidationError(
                "--slots and --announce say what this server is in a cluster: give --cluster FILE too"
            )
        }
    }

    /// Lists each flag with its setting.
    var given: [(ShardTable.Row, String?)] {
        let listener = [
            (ServerSettings.host, self.host), (ServerSettings.port, self.port), (ServerSettings.threads, self.threads),
            (ServerSettings.maximumConnections, self.maxConnections), (ServerSettings.idleTimeout, self.idleTimeout),
        ].map { setting, text in (setting.within(\ShardSettings.server), text) }
        return listener + [
            (ShardTable.searching, self.engine), (ShardTable.passwordFile, self.passwordFile),
            (ShardTable.state, self.state), (ShardTable.durability, self.durability), (ShardTable.log, self.log),
            (ShardTable.logPasswordFile, self.logPasswordFile), (ShardTable.acknowledgement, self.ack),
            (ShardTable.maximumLag, self.maxLag), (ShardTable.cold, self.cold),
            (ShardTable.coldHalfLife, self.coldHalfLife), (ShardTable.watch, self.watch),
            (ShardTable.topologyFile, self.cluster), (ShardTable.slots, self.slots),
            (ShardTable.announce, self.announce),
        ]
    }
}
