import AnnexCore

/// The way between two hosts. What is sent while it is cut arrives when it is mended, as TCP sends again.
final class SimPath {
    let clock: SimClock
    private var random: SeededRandom
    /// Added to each message while delays are high.
    var extraDelay: UInt64 = 0
    private(set) var isCut = false
    private var held: [() -> Void] = []
    private var links: [SimLink] = []

    init(_ clock: SimClock, seed: UInt64) {
        self.clock = clock
        self.random = SeededRandom(seed: seed)
    }

    func cut() { self.isCut = true }

    func mend() {
        self.isCut = false
        let held = self.held
        self.held = []
        for send in held { send() }
    }

    /// Delivers in order within one direction of a connection, whose last arrival is `last`.
    fileprivate func send(_ last: @escaping (UInt64) -> UInt64, _ body: @escaping () -> Void) {
        guard !self.isCut else {
            self.held.append { [self] in self.send(last, body) }
            return
        }
        let delay = microseconds(30 + self.random.below(120))
        let extra = self.extraDelay == 0 ? 0 : UInt64.random(in: 0...self.extraDelay, using: &self.random)
        self.clock.at(last(self.clock.now + delay + extra), body)
    }

    fileprivate func add(_ link: SimLink) {
        self.links.removeAll { !$0.isOpen }
        self.links.append(link)
    }

    /// Breaks every connection, as a box in between that forgot them does. Returns how many there were.
    func breakConnections() -> Int {
        let open = self.links.filter(\.isOpen)
        for link in open { link.break() }
        return open.count
    }
}

/// One connection, from a client to a server.
final class SimLink {
    private let path: SimPath
    private var isClientOpen = true
    private var isServerOpen = true
    private var lastToServer: UInt64 = 0
    private var lastToClient: UInt64 = 0
    /// The other side ended it.
    var onServerClosed: () -> Void = {}
    var onClientClosed: () -> Void = {}

    init(_ path: SimPath) {
        self.path = path
        path.add(self)
    }

    var isOpen: Bool { self.isClientOpen && self.isServerOpen }

    /// Arrives even when the client closes right after.
    func toServer(_ body: @escaping () -> Void) {
        guard self.isClientOpen else { return }
        self.path.send({ [self] in self.arrival(&self.lastToServer, $0) }) { [self] in
            if self.isServerOpen { body() }
        }
    }

    func toClient(_ body: @escaping () -> Void) {
        guard self.isServerOpen else { return }
        self.path.send({ [self] in self.arrival(&self.lastToClient, $0) }) { [self] in
            if self.isClientOpen { body() }
        }
    }

    private func arrival(_ last: inout UInt64, _ time: UInt64) -> UInt64 {
        last = max(last + 1, time)
        return last
    }

    func closeByClient() {
        guard self.isClientOpen else { return }
        self.toServer { [self] in
            self.isServerOpen = false
            self.onClientClosed()
        }
        self.isClientOpen = false
    }

    func closeByServer() {
        guard self.isServerOpen else { return }
        self.toClient { [self] in
            self.isClientOpen = false
            self.onServerClosed()
        }
        self.isServerOpen = false
    }

    /// What is on the way is lost; both learn of it at once.
    func `break`() {
        let (client, server) = (self.isClientOpen, self.isServerOpen)
        self.isClientOpen = false
        self.isServerOpen = false
        if client { self.onServerClosed() }
        if server { self.onClientClosed() }
    }
}
