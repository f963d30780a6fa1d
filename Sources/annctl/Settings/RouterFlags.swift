import AnnexNode
import AnnexServer
import ArgumentParser

/// Describes the flags of `annctl route`. Help, defaults, bounds and meaning come from the table of settings.
struct RouterFlags: ParsableArguments {
    @Option(help: .of(RouterTable.config)) var config: String
    @Option(help: .of(RouterTable.host)) var host: String?
    @Option(help: .of(RouterTable.port)) var port: String?
    @Option(help: .of(RouterTable.threads)) var threads: String?
    @Option(help: .of(RouterTable.passwordFile)) var passwordFile: String?
    @Option(help: .of(RouterTable.shardPasswordFile)) var shardPasswordFile: String?
    @Option(help: .of(RouterTable.maximumConnections)) var maxConnections: String?
    @Option(help: .of(RouterTable.idleTimeout)) var idleTimeout: String?
    @Option(help: .of(RouterTable.drainPause)) var drainPause: String?

    /// Lists each flag with its setting.
    var given: [(RouterTable.Row, String?)] {
        [
            (RouterTable.config, self.config), (RouterTable.host, self.host), (RouterTable.port, self.port),
            (RouterTable.threads, self.threads), (RouterTable.passwordFile, self.passwordFile),
            (RouterTable.shardPasswordFile, self.shardPasswordFile),
            (RouterTable.maximumConnections, self.maxConnections), (RouterTable.idleTimeout, self.idleTimeout),
            (RouterTable.drainPause, self.drainPause),
        ]
    }
}
