import AnnexClient
import AnnexCore
import AnnexWire
import NIOCore

/// Holds a replica's connections: one for each protocol version and lane, made when they are needed, and one for its
/// health. It lives on one loop.
final class ReplicaLinks {
    let replica: Int
    let health: PingConnection
    private let address: ClusterTopology.Address
    private let shared: RouterShared
    private let loop: any EventLoop
    private let callbacks: (Lane) -> ReplicaLink.Callbacks
    private var links: [ReplicaLink?]

    init(
        _ replica: Int,
        _ address: ClusterTopology.Address,
        shared: RouterShared,
        loop: any EventLoop,
        callbacks: @escaping (Lane) -> ReplicaLink.Callbacks,
        health: PingConnection.Callbacks
    ) {
        self.replica = replica
        self.address = address
        self.shared = shared
        self.loop = loop
        self.callbacks = callbacks
        self.links = Array(repeating: nil, count: 2 * Lane.allCases.count)
        var settings = RESPSettings(host: address.host, port: address.port)
        settings.connectTimeout = ReplicaLink.connectTimeout
        self.health = PingConnection(
            settings,
            password: shared.password,
            patience: 16,
            loop: loop,
            callbacks: health
        )
    }

    func send(_ dispatch: Dispatch, _ entry: PendingReply, settings: RouterSettings, reaches: Int) {
        var waits: [ByteBuffer] = []
        if entry.lane != .changes, !entry.users.isEmpty, let client = entry.client {
            // It waits for a part of the deadline, so that there is time for another replica.
            let patience = max(1, settings.readDeadline / RouterSettings.millisecond / 4)
            waits = client.waits(entry.users, replica: self.replica, reaches: reaches, milliseconds: patience)
        }
        let owed = OwedAttempt(attempt: dispatch.attempt, isPart: entry.split != nil, isEvent: entry.lane == .changes)
        let lane: Lane = waits.isEmpty || entry.lane == .heavy ? entry.lane : .waits
        let deadline = entry.lane == .changes || entry.lane == .heavy ? Self.deadline(dispatch, entry) : nil
        self.link(entry.version, lane).send(owed, entry.frame, after: waits, deadline: deadline)
    }

    /// `DEADLINE` for a change, or a heavy read: when it must not be carried out any more, by the clock of the day.
    private static func deadline(_ dispatch: Dispatch, _ entry: PendingReply) -> ByteBuffer {
        let left = dispatch.expiresAt.since(RouterShared.now()) / RouterSettings.millisecond
        let end = WallClock.milliseconds() + Int64(clamping: min(left, 1 << 40))
        var frame = ByteBuffer()
        let words = ["DEADLINE", "\(min(end, entry.deadline ?? end))"]
        RequestEncoder.append(words.map { Array($0.utf8) }, to: &frame)
        return frame
    }

    private func link(_ version: RESPVersion, _ lane: Lane) -> ReplicaLink {
        let index = lane.rawValue * 2 + (version == .three ? 1 : 0)
        if let link = self.links[index] { return link }
        let link = ReplicaLink(
            address: self.address,
            greeting: Greeting(password: self.shared.password, version: version, asksForPositions: lane == .changes),
            shared: self.shared,
            loop: self.loop,
            callbacks: self.callbacks(lane)
        )
        self.links[index] = link
        return link
    }

    /// The replica was heard of again: nobody waits before the next connection is made.
    func connectAgain() {
        for link in self.links { link?.connectAgain() }
    }

    /// Closes the connections of some lanes. What they owe is lost; the next request makes new ones.
    func reset(_ lanes: [Lane], _ reason: String) {
        for lane in lanes {
            for index in [lane.rawValue * 2, lane.rawValue * 2 + 1] { self.links[index]?.close(reason) }
        }
    }

    /// Gives up connections on which a reply began to come and does not go on.
    func cutStalled(after limit: TimeAmount) {
        for link in self.links { link?.cutStalled(after: limit) }
    }

    func close(_ reason: String) {
        self.reset(Lane.allCases, reason)
        self.health.close()
    }
}
