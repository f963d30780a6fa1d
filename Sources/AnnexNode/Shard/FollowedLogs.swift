import AnnexClient
import AnnexCore
import AnnexLog
import AnnexStore
import Foundation
import Logging
import NIOCore
import NIOPosix

/// Holds the thread on which a server follows its logs.
///
/// It has to live longer than the states: while they close they still answer what the followers handed them.
struct LogThread: Sendable {
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    var loop: any EventLoop { self.group.next() }

    func end() async { await NameLookups.shutDown(self.group) }
}

/// The logs that a server follows, one per index.
struct FollowedLogs: Sendable {
    let followers: [EntryName: LogFollower]

    /// Follows nothing yet.
    ///
    /// - Parameter slots: whose changes this replica applies.
    init(
        _ states: [EntryName: StateStore],
        at address: LogAddress,
        _ settings: ShardSettings,
        slots: SlotSet,
        on thread: LogThread,
        _ logger: Logger
    ) {
        var following = LogSettings()
        following.slots = slots
        if let acknowledgement = settings.acknowledgement { following.replication.acknowledgement = acknowledgement }
        if let seconds = settings.maximumLagSeconds {
            following.maximumLag = seconds == 0 ? nil : Int64(seconds * 1_000)
        }
        self.followers = Dictionary(
            uniqueKeysWithValues: states.map { index, store in
                let follower = LogFollower(
                    index: index,
                    store: store,
                    address: address,
                    settings: following,
                    loop: thread.loop,
                    logger: logger
                )
                return (index, follower)
            }
        )
    }

    /// Begins to follow, and waits for at most so many seconds until all logs are reached. Blocks.
    func start(patience: Double) {
        for follower in self.followers.values { follower.start() }
        let end = ContinuousClock.now + .seconds(patience)
        while ContinuousClock.now < end, !self.followers.values.allSatisfy(\.isFollowing) {
            Thread.sleep(forTimeInterval: 0.01)
        }
    }

    /// Nothing is appended or handed to a state any more when this returns. Blocks.
    func stop() { for follower in self.followers.values { follower.stop() } }
}

extension ShardSettings {
    /// It is nil where no log is followed.
    var logAddress: LogAddress? {
        get throws(AnnexError) {
            guard let log else { return nil }
            let address = try LogAddress(parsing: log)
            guard let logPassword else { return address }
            return try address.with(password: logPassword)
        }
    }
}
