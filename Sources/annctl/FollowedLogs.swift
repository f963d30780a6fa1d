import AnnexCore
import AnnexLog
import AnnexStore
import ArgumentParser
import Foundation
import Logging
import NIOCore
import NIOPosix

extension LogAcknowledgement: ExpressibleByArgument {}

/// The logs that a server follows, one per index, on a thread of their own.
struct FollowedLogs: Sendable {
    let replicas: [EntryName: LogFollower]
    private let group: MultiThreadedEventLoopGroup

    init(
        _ states: [EntryName: StateStore],
        address: LogAddress,
        settings: LogSettings,
        _ logger: Logger
    ) {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        self.group = group
        self.replicas = Dictionary(
            uniqueKeysWithValues: states.map { index, store in
                let replica = LogFollower(
                    index: index,
                    store: store,
                    address: address,
                    settings: settings,
                    loop: group.next(),
                    logger: logger
                )
                return (index, replica)
            }
        )
    }

    /// Begins to follow, and waits for at most so many seconds until all logs are reached. Blocks.
    func start(patience: Double) {
        for replica in self.replicas.values { replica.start() }
        let end = Date().addingTimeInterval(patience)
        while Date() < end, !self.replicas.values.allSatisfy(\.isFollowing) { Thread.sleep(forTimeInterval: 0.01) }
    }

    /// Nothing is appended or handed to a state any more when this returns. Blocks.
    func stop() { for replica in self.replicas.values { replica.stop() } }

    /// Once the states are closed, which still answer what they were handed. Blocks.
    func end() { try? self.group.syncShutdownGracefully() }
}

extension LiveSettings {
    /// Nil without `--log`.
    ///
    /// - Parameter slots: whose changes this replica applies.
    func followLogs(
        _ states: [EntryName: StateStore],
        slots: SlotSet,
        _ logger: Logger
    ) throws -> FollowedLogs? {
        guard let log else { return nil }
        var settings = LogSettings()
        settings.slots = slots
        settings.replication.acknowledgement = self.acknowledgement ?? .replica
        if let maximumLagSeconds {
            settings.maximumLag = maximumLagSeconds == 0 ? nil : Int64(maximumLagSeconds * 1_000)
        }
        var address = try LogAddress(parsing: log)
        if let logPassword { address = try address.with(password: logPassword) }
        return FollowedLogs(states, address: address, settings: settings, logger)
    }
}
